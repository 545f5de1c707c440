// SPDX-License-Identifier: Apache-2.0
//
// How it works. A begun run remembers its settings, its data clip by clip, and what calculated. If
// one of these differs now, a plan of the old ones is surveyed in the journal, which tells what is
// finished, and is held against the new one, model by model. What would do finished work anew is
// listed, and refused unless --update has been given for just this change.
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "coordinator/run.h"

enum { NAMES_SHOWN = 3 }; // clips of each kind that are named

#define FACT_ACCEPTED "accepted" // the digest of the state of things that --update was given for

// ---- settings ----

// What the changed settings are read by.
typedef struct SettingChanges {
    Buffer text[SETTING_EXECUTION + 1]; // by stage: "n_mels 128 -> 64, ..."
} SettingChanges;

// Epochs are looked at apart, since a training may go on; and no score asks for other work.
static bool is_apart(const char *key) {
    return strcmp(key, "epochs") == 0 || strcmp(key, "score") == 0;
}

static void settings_changes_done(SettingChanges *changes) {
    for (size_t i = 0; i < sizeof changes->text / sizeof changes->text[0]; i++) {
        buffer_done(&changes->text[i]);
    }
}

// Of two models' settings, or two feature groups'.
static void compare_settings(const Settings *old, const Settings *now, SettingChanges *changes) {
    for (const SettingRow *row = SETTING_TABLE; row->key != NULL; row++) {
        Buffer before = BUFFER_EMPTY, after = BUFFER_EMPTY;
        Buffer *text = &changes->text[row->stage];
        settings_value(old, row, &before);
        settings_value(now, row, &after);
        if (!is_apart(row->key) && strcmp(buffer_cstr(&before), buffer_cstr(&after)) != 0) {
            buffer_format(text, "%s%s %s -> %s", text->size > 0 ? ", " : "", row->key,
                          buffer_cstr(&before), buffer_cstr(&after));
        }
        buffer_done(&before);
        buffer_done(&after);
    }
}

static void add_reason(Buffer *out, const char *text) {
    if (text[0] != '\0') {
        buffer_format(out, "%s%s", out->size > 0 ? "; " : "", text);
    }
}

// ---- clips ----

typedef enum ClipChange {
    CLIP_NEW,
    CLIP_GONE,
    CLIP_CHANGED,
    CLIP_TOUCHED,
    CLIP_CHANGES
} ClipChange;

typedef struct ClipDifference {
    uint32_t counts[CLIP_CHANGES];
    const char *names[CLIP_CHANGES][NAMES_SHOWN];
} ClipDifference;

static void note_clip(ClipDifference *difference, ClipChange change, const char *path) {
    uint32_t count = difference->counts[change]++;
    if (count < NAMES_SHOWN) {
        difference->names[change][count] = path;
    }
}

static void compare_clip(const Clip *old, const Clip *now, ClipDifference *difference) {
    bool is_trained = now->split == SPLIT_TRAIN;
    if (old->size_bytes != now->size_bytes ||
        (is_trained &&
         (old->domain != now->domain || (old->left_out == NULL) != (now->left_out == NULL)))) {
        note_clip(difference, CLIP_CHANGED, now->path);
    } else if (old->mtime_ns != now->mtime_ns) {
        note_clip(difference, CLIP_TOUCHED, now->path);
    }
}

// Both lists are sorted by path.
static void compare_clips(const Dataset *old, const uint32_t *olds, uint32_t old_count,
                          const Dataset *now, const uint32_t *nows, uint32_t now_count,
                          ClipDifference *difference) {
    uint32_t i = 0, j = 0;
    while (i < old_count || j < now_count) {
        const Clip *was = i < old_count ? &old->clips[olds[i]] : NULL;
        const Clip *is = j < now_count ? &now->clips[nows[j]] : NULL;
        int order = was == NULL ? 1 : is == NULL ? -1 : strcmp(was->path, is->path);
        if (order < 0) {
            note_clip(difference, CLIP_GONE, was->path);
        } else if (order > 0) {
            note_clip(difference, CLIP_NEW, is->path);
        } else {
            compare_clip(was, is, difference);
        }
        i += order <= 0;
        j += order >= 0;
    }
}

// "2 training clips are new (a.wav, b.wav)"
static void say_clips(const ClipDifference *difference, ClipChange change, const char *kind,
                      Buffer *out) {
    static const char *const WORDS[CLIP_CHANGES] = {"new", "gone", "changed", "touched"};
    uint32_t count = difference->counts[change];
    if (count == 0) {
        return;
    }
    Buffer text = BUFFER_EMPTY;
    buffer_format(&text, "%u %s clip%s %s %s (", count, kind, count == 1 ? "" : "s",
                  count == 1 ? "is" : "are", WORDS[change]);
    for (uint32_t i = 0; i < count && i < NAMES_SHOWN; i++) {
        buffer_format(&text, "%s%.200s", i > 0 ? ", " : "", difference->names[change][i]);
    }
    buffer_text(&text, count > NAMES_SHOWN ? ", ...)" : ")");
    add_reason(out, buffer_cstr(&text));
    buffer_done(&text);
}

// ---- models ----

typedef struct Comparison {
    Run *run;
    const Dataset *old_data, *new_data;
    Plan *old, *new;
    bool other_programs; // that calculate other bits, with the same kernel
    bool other_kernel;   // which the settings name, so that programs cannot be compared
    uint32_t touched;    // clips that finished work has read and whose time is another now
} Comparison;

// Whether models with these settings are one and the same, however long they are trained.
static bool is_same_training(const Settings *old, const Settings *now) {
    Settings before = *old, after = *now;
    before.epochs = after.epochs = 1;
    return digest_equal(settings_digest(&before, SETTING_TRAINING),
                        settings_digest(&after, SETTING_TRAINING));
}

// How much of a variant's name is about other things than its seed, with which it ends.
static size_t name_but_seed(const Variant *variant) {
    const char *seed = strstr(variant->name, "seed_");
    return seed != NULL ? (size_t)(seed - variant->name) : strlen(variant->name);
}

// Whether two variants are called alike, each in its run, and begin from the same seed.
static bool is_same_place(const Variant *a, const Variant *b) {
    size_t length = name_but_seed(a), other = name_but_seed(b);
    length -= length > 0 && a->name[length] != '\0'; // the '_' before the seed
    other -= other > 0 && b->name[other] != '\0';
    return a->settings.seed == b->settings.seed && length == other &&
           memcmp(a->name, b->name, length) == 0;
}

// How well a new model stands for an old one of the same clips: 3 with the same settings, 2 but for
// its epochs, 1 in the same place, 0 not at all.
static int likeness(const Comparison *c, const Model *old, const Model *now) {
    const Variant *before = &plan_models(c->old)->variants[old->variant];
    const Variant *after = &plan_models(c->new)->variants[now->variant];
    if (is_same_training(old->settings, now->settings)) {
        return old->settings->epochs == now->settings->epochs ? 3 : 2;
    }
    return is_same_place(before, after) ? 1 : 0;
}

static const Model *model_like(const Comparison *c, const Model *old) {
    const Models *models = plan_models(c->new);
    const Machine *machine = &c->old_data->machines[old->machine];
    const Model *found = NULL;
    int best = 0;
    for (uint32_t m = 0; m < models->count; m++) {
        const Model *model = &models->models[m];
        const Machine *other = &c->new_data->machines[model->machine];
        if (machine->set == other->set && strcmp(machine->name, other->name) == 0 &&
            strcmp(model->section, old->section) == 0 && likeness(c, old, model) > best) {
            found = model;
            best = likeness(c, old, model);
        }
    }
    return found;
}

static bool has_machine(const Comparison *c, const Model *old) {
    const Machine *machine = &c->old_data->machines[old->machine];
    for (uint32_t m = 0; m < c->new_data->machine_count; m++) {
        const Machine *other = &c->new_data->machines[m];
        if (machine->set == other->set && strcmp(machine->name, other->name) == 0) {
            return true;
        }
    }
    return false;
}

// What the run has remembered of touched clips: their contents decide once they are read again.
static void know_clips(Comparison *c, const uint32_t *olds, uint32_t old_count,
                       const uint32_t *nows, uint32_t now_count) {
    uint32_t i = 0;
    for (uint32_t j = 0; j < now_count; j++) {
        const Clip *is = &c->new_data->clips[nows[j]];
        while (i < old_count && strcmp(c->old_data->clips[olds[i]].path, is->path) < 0) {
            i++;
        }
        const Clip *was = i < old_count ? &c->old_data->clips[olds[i]] : NULL;
        if (was != NULL && strcmp(was->path, is->path) == 0 && was->mtime_ns != is->mtime_ns &&
            plan_clip_digest(c->old, olds[i], &c->run->known[nows[j]])) {
            c->touched++;
        }
    }
}

// Why the model's training would be another one.
static void say_why_trained(const Comparison *c, const SettingChanges *settings,
                            const ClipDifference *train, Buffer *out) {
    add_reason(out, buffer_cstr(&settings->text[SETTING_FEATURES]));
    add_reason(out, buffer_cstr(&settings->text[SETTING_TRAINING]));
    add_reason(out, c->other_programs ? "other programs calculate other bits" : "");
    say_clips(train, CLIP_NEW, "training", out);
    say_clips(train, CLIP_GONE, "training", out);
    say_clips(train, CLIP_CHANGED, "training", out);
}

static void say_why_scored(const SettingChanges *settings, const ModelState *state, int32_t before,
                           int32_t now, const ClipDifference *test, Buffer *out) {
    if (before != now && (state->is_trained || state->epochs > (uint32_t)now)) {
        char text[64];
        snprintf(text, sizeof text, "epochs %d -> %d", before, now);
        add_reason(out, text);
    }
    add_reason(out, buffer_cstr(&settings->text[SETTING_SCORING]));
    say_clips(test, CLIP_CHANGED, "test", out);
}

static bool has_variant(const Models *models, const Variant *like, bool of_seed_alone) {
    for (uint32_t v = 0; v < models->variant_count; v++) {
        const Settings *settings = &models->variants[v].settings;
        if (settings->seed == like->settings.seed &&
            (of_seed_alone || is_same_training(settings, &like->settings))) {
            return true;
        }
    }
    return false;
}

static void say_why_gone(const Comparison *c, const Model *old, Buffer *out) {
    const Models *models = plan_models(c->new);
    const Variant *variant = &plan_models(c->old)->variants[old->variant];
    if (!has_variant(models, variant, true)) {
        buffer_format(out, "seed %lld is not wanted any more", (long long)variant->settings.seed);
    } else if (!has_variant(models, variant, false)) {
        buffer_format(out, "%s is not wanted any more",
                      variant->name[0] != '\0' ? variant->name : "its setting");
    } else {
        buffer_text(out, "its section is gone");
    }
}

// A model that is no more, since its setting, seed or section is not wanted or models are for
// something else now.
static void say_why_left(const Comparison *c, const Model *old, Buffer *out) {
    const Models *models = plan_models(c->new);
    const Variant *variant = &plan_models(c->old)->variants[old->variant];
    SettingChanges settings = {0};
    for (uint32_t v = 0; v < models->variant_count; v++) {
        if (is_same_place(variant, &models->variants[v])) {
            compare_settings(old->settings, &models->variants[v].settings, &settings);
        }
    }
    add_reason(out, buffer_cstr(&settings.text[SETTING_FEATURES]));
    add_reason(out, buffer_cstr(&settings.text[SETTING_TRAINING]));
    add_reason(out, c->other_programs ? "other programs calculate other bits" : "");
    if (out->size == 0) {
        say_why_gone(c, old, out);
    }
    settings_changes_done(&settings);
}

// Why what is finished of a model would be done anew, now that `now` stands in its place.
static void say_why(Comparison *c, const Model *old, const ModelState *state, const Model *now,
                    Buffer *out) {
    ClipDifference train = {.counts = {0}}, test = {.counts = {0}};
    SettingChanges settings = {0};
    compare_settings(old->settings, now->settings, &settings);
    compare_clips(c->old_data, old->train, old->train_count, c->new_data, now->train,
                  now->train_count, &train);
    compare_clips(c->old_data, old->test, old->test_count, c->new_data, now->test, now->test_count,
                  &test);
    know_clips(c, old->train, old->train_count, now->train, now->train_count);
    know_clips(c, old->test, old->test_count, now->test, now->test_count);
    say_why_trained(c, &settings, &train, out);
    say_why_scored(&settings, state, old->settings->epochs, now->settings->epochs, &test, out);
    settings_changes_done(&settings);
}

static void compare_model(Comparison *c, uint32_t index, Buffer *out) {
    const Model *old = &plan_models(c->old)->models[index];
    const ModelState *state = plan_model_state(c->old, index);
    const Model *now = model_like(c, old);
    if (state->epochs == 0 || (now == NULL && !has_machine(c, old))) {
        return; // nothing is finished, or nothing is wanted any more
    }
    Buffer why = BUFFER_EMPTY;
    if (now != NULL) {
        say_why(c, old, state, now, &why);
    } else {
        say_why_left(c, old, &why);
    }
    if (why.size > 0) {
        buffer_format(out, "  %s: ", old->label);
        if (old->settings->network[0] == '\0') {
            buffer_format(out, "%u epoch%s trained, ", state->epochs,
                          state->epochs == 1 ? "" : "s");
        }
        buffer_format(out, "%u clips scored; %s\n", plan_scored_by(c->old, index),
                      buffer_cstr(&why));
    }
    buffer_done(&why);
}

static uint64_t count_probed(const Plan *plan, uint32_t group, uint32_t clips) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < clips; i++) {
        count += plan_clip_state(plan, group, i)->is_probed;
    }
    return count;
}

// Clips are read anew for what no group has any more.
static void compare_group(const Comparison *c, const FeatureGroup *old, uint64_t probed,
                          Buffer *out) {
    const Models *models = plan_models(c->new);
    SettingChanges settings = {0};
    bool is_kept = false;
    for (uint32_t g = 0; g < models->group_count; g++) {
        is_kept |= digest_equal(models->groups[g].digest, old->digest);
    }
    if (!is_kept) {
        compare_settings(&old->settings, &models->groups[0].settings, &settings);
    }
    if (probed > 0 && (!is_kept || c->other_programs || c->other_kernel)) {
        Buffer why = BUFFER_EMPTY;
        add_reason(&why, buffer_cstr(&settings.text[SETTING_FEATURES]));
        add_reason(&why, c->other_programs ? "other programs calculate other bits" : "");
        add_reason(&why, c->other_kernel ? "another kernel calculates other bits" : "");
        buffer_format(out, "  %llu clip%s read; %s\n", (unsigned long long)probed,
                      probed == 1 ? "" : "s", buffer_cstr(&why));
        buffer_done(&why);
    }
    settings_changes_done(&settings);
}

// Lines for all that is finished and would be done anew.
static void compare_plans(Comparison *c, Buffer *out) {
    const Models *models = plan_models(c->old);
    for (uint32_t g = 0; g < models->group_count; g++) {
        compare_group(c, &models->groups[g], count_probed(c->old, g, c->old_data->clip_count), out);
    }
    for (uint32_t m = 0; m < models->count; m++) {
        compare_model(c, m, out);
    }
}

// ---- judging ----

// Of all that the keys of tasks depend on.
static Status digest_of_things(const Settings *settings, Digest data, Digest arithmetic,
                               Digest *ret_digest) {
    Digest of_settings;
    Status status = settings_digest_all(settings, SETTING_SCORING, &of_settings);
    DigestStream *stream = status == STATUS_OK ? digest_begin() : NULL;
    if (stream == NULL) {
        return STATUS_MEMORY;
    }
    digest_add(stream, of_settings.bytes, sizeof of_settings.bytes);
    digest_add(stream, data.bytes, sizeof data.bytes);
    digest_add(stream, arithmetic.bytes, sizeof arithmetic.bytes);
    *ret_digest = digest_end(stream);
    return STATUS_OK;
}

static bool is_accepted(Run *run, Digest things) {
    Buffer fact = BUFFER_EMPTY;
    bool same = journal_fact(run->journal, FACT_ACCEPTED, &fact) == STATUS_OK &&
                fact.size == sizeof things.bytes &&
                memcmp(fact.bytes, things.bytes, sizeof things.bytes) == 0;
    buffer_done(&fact);
    return same;
}

static Status accept(Run *run, Digest things) {
    run->may_redo = true;
    return journal_set_fact(run->journal, FACT_ACCEPTED, things.bytes, sizeof things.bytes);
}

// log_line takes one line at a time.
static void log_lines(LogLevel level, const Buffer *lines) {
    const char *line = buffer_cstr(lines);
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        log_line(level, "%.*s", (int)(end - line), line);
    }
}

static Status refuse(Run *run, const Buffer *lines, bool other_programs) {
    log_error("%s holds finished work that would be done anew or left behind:", run->options.out);
    log_lines(LOG_ERROR, lines);
    if (other_programs) {
        Buffer here = BUFFER_EMPTY;
        run_program_text(run, &here);
        log_error("calculated so far by: %s", run->before.program);
        log_error("here would calculate: %s", buffer_cstr(&here));
        buffer_done(&here);
        return status_set(STATUS_INVALID,
                          "continue it where the same is calculated, or let --update do all that "
                          "anew (with --set numerics=... for another kernel), or name another "
                          "--out, or --restart");
    }
    return status_set(STATUS_INVALID, "--update does just that; to keep what is there, name "
                                      "another --out or leave the change away");
}

Status run_survey(const Run *run, const Settings *settings, const Dataset *data, Digest arithmetic,
                  Plan **ret) {
    PlanConfig config = {.dataset = data,
                         .settings = settings,
                         .run_folder = run->options.out,
                         .until = STAGE_REPORT,
                         .arithmetic = arithmetic,
                         .journal = run->journal};
    Status status = plan_new(&config, ret);
    return status == STATUS_OK ? plan_survey(*ret) : status;
}

// Whether all touched clips have been read again and hold what they held.
static bool knows_better(const Run *run, const Plan *now) {
    static const Digest none;
    for (uint32_t i = 0; i < run->dataset->clip_count; i++) {
        Digest found = none;
        if (!digest_equal(run->known[i], none) &&
            !(plan_clip_digest(now, i, &found) && digest_equal(run->known[i], found))) {
            return false;
        }
    }
    return true;
}

static Status compare(Comparison *c, Buffer *lines) {
    Run *run = c->run;
    mem_free(run->known); // of an earlier look
    run->known = mem_new(run->dataset->clip_count, sizeof *run->known);
    if (run->known == NULL) {
        return STATUS_MEMORY;
    }
    Status status = run_survey(run, &run->before.settings, run->before.dataset,
                               run->before.arithmetic, &c->old);
    if (status == STATUS_OK) {
        status = run_survey(run, &run->settings, run->dataset,
                            plan_arithmetic(run->fingerprint.digest), &c->new);
    }
    if (status == STATUS_OK) {
        compare_plans(c, lines);
        // As long as it is open what touched clips hold, the run remembers them as they were.
        run->keeps_data = !run->options.is_update && c->touched > 0 && !knows_better(run, c->new);
    }
    return lines->status != STATUS_OK ? lines->status : status;
}

static Status decide(Comparison *c, Digest now, bool was_accepted) {
    Run *run = c->run;
    Buffer lines = BUFFER_EMPTY;
    Status status = compare(c, &lines);
    if (status == STATUS_OK && lines.size > 0 && !run->options.is_update) {
        status = refuse(run, &lines, c->other_programs);
    } else if (status == STATUS_OK && lines.size > 0) {
        log_info("done anew, as --update asks:");
        log_lines(LOG_INFO, &lines);
    }
    // A change that touches nothing keeps what was accepted before.
    bool accepts = run->options.is_update || (was_accepted && !run->keeps_data);
    if (status == STATUS_OK && accepts) {
        status = accept(run, now);
    }
    buffer_done(&lines);
    return status;
}

static void say_same_bits(const Run *run) {
    Buffer here = BUFFER_EMPTY;
    run_program_text(run, &here);
    if (run->before.program != NULL && strcmp(run->before.program, buffer_cstr(&here)) != 0) {
        log_info("begun by %s; goes on with %s: the same bits", run->before.program,
                 buffer_cstr(&here));
    }
    buffer_done(&here);
}

static Status digest_both(const Run *run, Digest arithmetic, Digest *ret_was, Digest *ret_is) {
    Digest data;
    Status status = dataset_digest(run->dataset, &data);
    if (status == STATUS_OK) {
        status = digest_of_things(&run->settings, data, arithmetic, ret_is);
    }
    return status == STATUS_OK ? digest_of_things(&run->before.settings, run->before.data_digest,
                                                  run->before.arithmetic, ret_was)
                               : status;
}

static Status judge(Comparison *c, Digest arithmetic) {
    Run *run = c->run;
    Digest was, is;
    Status status = digest_both(run, arithmetic, &was, &is);
    if (status != STATUS_OK) {
        return status;
    }
    bool was_accepted = is_accepted(run, was);
    if (digest_equal(was, is) && !run->options.is_update) {
        run->may_redo = was_accepted;
        return STATUS_OK;
    }
    run->is_changed = !digest_equal(was, is);
    status = run_read_data(run);
    c->old_data = run->before.dataset;
    return status == STATUS_OK ? decide(c, is, was_accepted) : status;
}

Status run_judge_changes(Run *run) {
    if (!run->is_begun || !run->before.has_data) {
        return STATUS_OK;
    }
    Digest arithmetic = plan_arithmetic(run->fingerprint.digest);
    bool other_bits = !digest_equal(run->before.arithmetic, arithmetic);
    bool other_kernel = run->before.settings.numerics != run->settings.numerics;
    Comparison c = {.run = run,
                    .new_data = run->dataset,
                    .other_programs = other_bits && !other_kernel,
                    .other_kernel = other_bits && other_kernel};
    if (!other_bits) {
        say_same_bits(run);
    }
    Status status = judge(&c, arithmetic);
    plan_free(c.old);
    plan_free(c.new);
    return status;
}
