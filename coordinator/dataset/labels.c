// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dataset/labels.h"

#include "coordinator/dataset/attributes.h"
#include "coordinator/dataset/truth.h"

static Status take_attributes(Builder *b, const TruthClip *from, Clip *to) {
    Clip borrowed = {.attributes = from->attributes, .attribute_count = from->attribute_count};
    Buffer text = BUFFER_EMPTY;
    attributes_format(&borrowed, &text);
    Status status = text.status;
    if (status == STATUS_OK && text.size > 0) {
        status = attributes_parse(b->memory, buffer_cstr(&text), to);
    }
    buffer_done(&text);
    return status;
}

static Status take(Builder *b, const TruthClip *from, Found *found, uint32_t *labelled) {
    Clip *clip = &found->clip;
    if (clip->label != LABEL_UNKNOWN) {
        bool agrees = from->label == LABEL_UNKNOWN || from->label == clip->label;
        return agrees || from->set != found->set
                   ? STATUS_OK
                   : builder_warn(
                         b, "%s: %s by the ground truth, %s by what lies here, which is believed",
                         clip->path, clipname_label_text(from->label),
                         clipname_label_text(clip->label));
    }
    clip->label = from->label;
    clip->domain = clip->domain != DOMAIN_UNKNOWN ? clip->domain : from->domain;
    *labelled += from->label != LABEL_UNKNOWN;
    return clip->attribute_count == 0 ? take_attributes(b, from, clip) : STATUS_OK;
}

static Status say_remarks(Builder *b, const Remarks *remarks) {
    Status status = STATUS_OK;
    for (uint32_t i = 0; i < remarks->count && status == STATUS_OK; i++) {
        const Remark *remark = &remarks->items[i];
        status = remark->kind == REMARK_NOTE ? builder_note(b, "%s", remark->text)
                                             : builder_warn(b, "%s", remark->text);
    }
    for (int kind = 0; kind < REMARK_NOTE && status == STATUS_OK; kind++) {
        uint32_t more = remarks_unkept(remarks, (RemarkKind)kind);
        if (more > 0) {
            status = builder_warn(b, "%s: %u more of kind %s", b->options->truth, more,
                                  remark_kind_text((RemarkKind)kind));
        }
    }
    return status;
}

static Status apply(Builder *b, const Truth *truth) {
    uint32_t labelled = 0;
    Status status = say_remarks(b, &truth->remarks);
    for (uint32_t i = 0; i < b->found_count && status == STATUS_OK; i++) {
        Found *found = &b->found[i];
        if (found->clip.split != SPLIT_TEST || found->dropped) {
            continue;
        }
        const TruthClip *clip = truth_find(truth, found->machine, found->clip.name);
        if (clip != NULL) {
            status = take(b, clip, found, &labelled);
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    return labelled > 0
               ? builder_note(b, "%u test clips have their labels from the ground truth", labelled)
               : builder_warn(b, "%s: the ground truth labels none of the test clips",
                              b->options->truth);
}

Status labels_apply(Builder *b) {
    if (b->options->truth == NULL) {
        return STATUS_OK;
    }
    Truth *truth = NULL;
    Status status = truth_read(b->options->truth, 0, &truth);
    if (status == STATUS_OK) {
        status = apply(b, truth);
    }
    truth_free(truth);
    return status;
}
