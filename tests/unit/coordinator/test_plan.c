// SPDX-License-Identifier: Apache-2.0
//
// A whole run without sockets: the plan and the core with a journal, real clips, and one worker
// that is a function here and can be told to fail.
#include <poll.h>

#include "common/base/config.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/engine/source.h"
#include "common/eval/mahala.h"
#include "common/model/linalg.h"
#include "common/model/trainer.h"
#include "common/store/npy.h"
#include "coordinator/plan/plan.h"
#include "coordinator/synth/wavfile.h"
#include "proto/socket.h"
#include "tests/unit/test.h"

enum { LIST_MOST = 4 };

static char folder[256], data[300], run_folder[300];
static Settings settings;
static Dataset *dataset;
static Journal *journal;
static Blobs *blobs;
static Plan *plan;
static Core *core;
static int64_t now_ms;
static Digest arithmetic;
static bool may_redo, retries, is_local; // as --update, --retry and --local have it
static bool explores;                    // as `auscult eda`
static Buffer said;                      // for the log, of what no worker could do
static CorePeer peer;                    // of the worker; a new number for each of its lives

// What the worker does wrong, by parts of clips' paths; NULL ends the lists.
static const char *unreadable[LIST_MOST + 1]; // it cannot read them
static const char *mistaken[LIST_MOST + 1];   // it has other bytes there
static int mistake_at, looks;                 // at this look at such clips, counted from 0
static const char *deadly[LIST_MOST + 1];     // it dies of probing or scoring them
static int deaths_of_many;                    // so often with others in the same task
static int given[TASK_KIND_MOST + 1];         // tasks given, by TaskKind
static int plan_changes;                      // pieces of another training than the one before
static int dirty_trainings;                   // trainings that it says nobody can do
static bool refuses_explorations;             // it says that nobody can use what it explores
static int wrong_explorations;                // likewise, answers about explored clips
static int wrong_pictures;                    // so many pictures that it gives cannot be

// ---- data ----

static const char *full_path(const char *path) {
    static char full[1024];
    snprintf(full, sizeof full, "%s/%s", data, path);
    return full;
}

static void put(const char *path, const void *bytes, size_t size) {
    char parent[1024];
    snprintf(parent, sizeof parent, "%s", full_path(path));
    *strrchr(parent, '/') = '\0';
    CHECK_OK(file_make_folders(parent));
    CHECK_OK(file_write(full_path(path), bytes, size));
}

static void put_npy(const char *path, int64_t frames, uint64_t seed) {
    Buffer file = BUFFER_EMPTY;
    float *values = mem_new((size_t)(4 * frames), sizeof *values);
    Rng rng = rng_of(seed, "test plan", 0, 0);
    for (int64_t i = 0; i < 4 * frames; i++) {
        values[i] = (float)(-30 + 5 * rng_normal(&rng));
    }
    NpyArray array = {.type = NPY_FLOAT32, .dimensions = 2, .shape = {frames, 4}, .data = values};
    npy_format(&array, &file);
    put(path, file.bytes, file.size);
    mem_free(values);
    buffer_done(&file);
}

static void put_wav(const char *path, int32_t rate_hz) {
    enum { SAMPLES = 4096 };
    Buffer file = BUFFER_EMPTY;
    int16_t sound[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        sound[i] = (int16_t)(i * 7919 % 20011 - 10000 + (int)strlen(path));
    }
    wavfile_format(sound, SAMPLES, 1, rate_hz, &file);
    put(path, file.bytes, file.size);
    buffer_done(&file);
}

// A machine of so many training and two test clips.
static void put_machine(const char *name, int train) {
    char path[300];
    for (int i = 0; i < train; i++) {
        snprintf(path, sizeof path, "%s/train/normal_%04d.npy", name, i);
        put_npy(path, 10 + i % 5, (uint64_t)i);
    }
    snprintf(path, sizeof path, "%s/test/a.npy", name);
    put_npy(path, 12, 100);
    snprintf(path, sizeof path, "%s/test/b.npy", name);
    put_npy(path, 13, 101);
}

// ---- one coordinator's life ----

static void begin(void) {
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(run_folder, sizeof run_folder, "%s/run", folder);
    CHECK_OK(file_make_folders(run_folder));
    memset(unreadable, 0, sizeof unreadable);
    memset(deadly, 0, sizeof deadly);
    memset(mistaken, 0, sizeof mistaken);
    mistake_at = looks = 0;
    deaths_of_many = 0;
    dirty_trainings = 0;
    wrong_pictures = wrong_explorations = 0;
    refuses_explorations = false;
    arithmetic = (Digest){{0}};
    may_redo = retries = is_local = explores = false;
    buffer_clear(&said);
    now_ms = 1000;
    CHECK_OK(settings_preset("default", &settings));
    static const char *const SMALL[] = {"n_mels=4",      "frames=3",     "batch_size=16",
                                        "epochs=3",      "spread=never", "numerics=prescott",
                                        "pictures=false"}; // but where a test wants them
    for (size_t i = 0; i < sizeof SMALL / sizeof SMALL[0]; i++) {
        CHECK_OK(settings_assign(&settings, SMALL[i]));
    }
}

static void open_run(Stage until) {
    static const char *roots[1];
    char path[400];
    roots[0] = data;
    DatasetOptions options = {.roots = roots, .root_count = 1};
    CHECK_OK(dataset_scan(&options, &dataset));
    snprintf(path, sizeof path, "%s/journal.db", run_folder);
    CHECK_OK(journal_open(path, &journal));
    blobs = blobs_new();
    PlanConfig config = {.dataset = dataset,
                         .settings = &settings,
                         .roots = roots,
                         .root_count = 1,
                         .run_folder = run_folder,
                         .until = until,
                         .explores = explores,
                         .arithmetic = arithmetic,
                         .may_redo = may_redo,
                         .retries = retries,
                         .is_local = is_local,
                         .journal = journal,
                         .blobs = blobs};
    if (retries) {
        CHECK_OK(plan_forget_left_out(&config));
    }
    CHECK_OK(plan_new(&config, &plan));
    CoreConfig for_core = {.hooks = plan_hooks(plan),
                           .incarnation = journal_incarnation(journal),
                           .kernel = "prescott",
                           .libraries = "",
                           .alive_ms = 1000,
                           .workers_most = 4};
    core = core_new(&for_core);
    CHECK(core != NULL);
    memset(given, 0, sizeof given);
    CHECK_OK(plan_start(plan, core, now_ms));
}

static void close_run(void) {
    core_free(core);
    plan_free(plan);
    journal_close(journal);
    blobs_free(blobs);
    dataset_free(dataset);
}

static void end(void) {
    close_run();
    buffer_done(&said);
    file_remove_tree(folder);
}

// ---- the worker ----

static void say(const Message *message) {
    core_on_message(core, peer, message, now_ms);
}

static void join(void) {
    Message hello = {.type = MESSAGE_HELLO};
    char name[32];
    peer++;
    snprintf(name, sizeof name, "worker %u", peer);
    hello.hello.protocol_least = hello.hello.protocol_most = PROTOCOL_MOST;
    hello.hello.program = hello.hello.libraries = "";
    hello.hello.name = name;
    hello.hello.kernel = "prescott";
    hello.hello.worker_id = digest_of(&peer, sizeof peer);
    say(&hello);
    say(&(Message){.type = MESSAGE_CREDIT, .credit = {2}});
}

static bool is_among(const char *const *list, const char *path) {
    for (; *list != NULL; list++) {
        if (strstr(path, *list) != NULL) {
            return true;
        }
    }
    return false;
}

static void say_result(const WireTask *task, ResultOutcome outcome, const Buffer *body) {
    CHECK_OK(body->status);
    WireResult result = {task->task, task->attempt, outcome, body->bytes, body->size};
    say(&(Message){.type = MESSAGE_RESULTS, .results = {.items = &result, .count = 1}});
    say(&(Message){.type = MESSAGE_CREDIT, .credit = {1}});
}

static void say_cannot(const WireTask *task, ResultOutcome outcome, uint32_t clip, bool has_clip,
                       const char *reason) {
    Buffer body = BUFFER_EMPTY;
    struct CannotClip clips[] = {{clip, reason}};
    body_encode_cannot(&(CannotBody){reason, clips, has_clip}, &body);
    say_result(task, outcome, &body);
    buffer_done(&body);
}

// False: it died or could not, and has said so.
static bool may_do(const WireTask *task, const WireClip *clips, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (is_among(deadly, clips[i].path)) {
            core_on_closed(core, peer, now_ms);
            deaths_of_many += count > 1;
            join();
            return false;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (is_among(unreadable, clips[i].path)) {
            say_cannot(task, RESULT_CANNOT, i, true, "cannot be read: as ordered");
            return false;
        }
    }
    return true;
}

static ClipOutcome outcome_of(Status status, char reason[512]) {
    snprintf(reason, 512, "%.480s", status == STATUS_OK ? "" : status_message());
    return status == STATUS_OK       ? CLIP_USABLE
           : status == STATUS_FORMAT ? CLIP_LEFT_OUT
                                     : CLIP_UNREADABLE;
}

static void do_probe(const WireTask *task, Decoded *decoded) {
    ProbeBody body;
    CHECK_OK(body_decode_probe(decoded, task->body, task->body_bytes, &body));
    if (!may_do(task, body.clips, body.clip_count)) {
        return;
    }
    ClipExtractor *extractor = clip_extractor_new(&settings);
    ProbeAnswer answers[PROTO_TASK_CLIPS];
    static char reasons[PROTO_TASK_CLIPS][512];
    bool all = true;
    for (uint32_t i = 0; i < body.clip_count; i++) {
        SourceFacts facts = {0};
        const WireClip *clip = &body.clips[i];
        Status status =
            source_probe(extractor, full_path(clip->path), clip->path, clip->size_bytes, &facts);
        answers[i] = (ProbeAnswer){.frames = facts.frames,
                                   .vectors = facts.vectors,
                                   .rate_hz = facts.rate_hz,
                                   .channels = facts.channels,
                                   .seconds = facts.seconds,
                                   .is_silent = facts.is_silent,
                                   .digest = facts.digest,
                                   .reason = reasons[i]};
        answers[i].outcome = outcome_of(status, reasons[i]);
        if (is_among(mistaken, clip->path) && looks++ == mistake_at) {
            answers[i].digest.bytes[0] ^= 1;
        }
        all = all && answers[i].outcome != CLIP_UNREADABLE;
    }
    clip_extractor_free(extractor);
    Buffer bytes = BUFFER_EMPTY;
    if (all) {
        body_encode_probe_answers(answers, body.clip_count, &bytes);
        say_result(task, RESULT_DONE, &bytes);
    } else {
        say_cannot(task, RESULT_CANNOT, 0, true, "cannot be read");
    }
    buffer_done(&bytes);
}

static void get_blob(Digest digest, Buffer *out) {
    size_t size = 0;
    SharedPayload *payload = blobs_find(blobs, digest, &size);
    CHECK(payload != NULL);
    buffer_append(out, shared_payload_bytes(payload), size);
}

static void do_score(const WireTask *task, Decoded *decoded) {
    ScoreBody body;
    CHECK_OK(body_decode_score(decoded, task->body, task->body_bytes, &body));
    if (!may_do(task, body.clips, body.clip_count)) {
        return;
    }
    Buffer model = BUFFER_EMPTY, bytes = BUFFER_EMPTY;
    SourceScorer *scorer;
    get_blob(body.model, &model);
    CHECK_OK(source_scorer_new(model.bytes, model.size, &scorer));
    ScoreAnswer answers[PROTO_TASK_CLIPS];
    static char reasons[PROTO_TASK_CLIPS][512];
    static double rows[PROTO_TASK_CLIPS][LIMIT_MELS];
    bool all = true;
    for (uint32_t i = 0; i < body.clip_count; i++) {
        const WireClip *clip = &body.clips[i];
        ClipMeasure measure = {0};
        Status status = source_measure(scorer, full_path(clip->path), clip->path, clip->size_bytes,
                                       &clip->digest, rows[i], &measure);
        answers[i] = (ScoreAnswer){.outcome = outcome_of(status, reasons[i]),
                                   .mse = measure.mse,
                                   .row_mahala = measure.row_mahala,
                                   .row = rows[i],
                                   .row_bytes = (size_t)settings.n_mels * sizeof(double),
                                   .reason = reasons[i]};
        all = all && answers[i].outcome != CLIP_UNREADABLE;
    }
    if (all) {
        body_encode_score_answers(answers, body.clip_count, &bytes);
        say_result(task, RESULT_DONE, &bytes);
    } else {
        say_cannot(task, RESULT_CANNOT, 0, true, "cannot be read");
    }
    source_scorer_free(scorer);
    buffer_done(&model);
    buffer_done(&bytes);
}

typedef struct Lesson {
    TrainBody body;
    Buffer bytes; // of the plan, which borrows them
    TrainPlan plan;
    int32_t shard; // for RESIDUALS and BATCHES
    uint64_t seed; // as the plan's settings have it
    ShardPlan shards;
    ClipFeatures *features; // (plan.clip_count)
    Trainer *trainer;
    Replica *replica;
} Lesson;

static void begin_lesson(Lesson *lesson, Digest digest, Decoded *decoded) {
    Settings told;
    get_blob(digest, &lesson->bytes);
    CHECK_OK(body_decode_plan(decoded, lesson->bytes.bytes, lesson->bytes.size, &lesson->plan));
    CHECK_OK(settings_preset("default", &told));
    CHECK_OK(config_read_text("plan", lesson->plan.settings, strlen(lesson->plan.settings), &told));
    lesson->seed = (uint64_t)told.seed;
}

static void end_lesson(Lesson *lesson) {
    for (uint32_t i = 0; i < lesson->plan.clip_count; i++) {
        clip_features_done(&lesson->features[i]);
    }
    mem_free(lesson->features);
    trainer_free(lesson->trainer);
    replica_free(lesson->replica);
    buffer_done(&lesson->bytes);
}

// The clip that cannot be used, UINT32_MAX when all could.
static uint32_t load_clips(Lesson *lesson) {
    ClipExtractor *extractor = clip_extractor_new(&settings);
    uint32_t bad = UINT32_MAX;
    for (uint32_t i = 0; i < lesson->plan.clip_count && bad == UINT32_MAX; i++) {
        const WireClip *clip = &lesson->plan.clips[i];
        ClipFeatures *features = &lesson->features[i];
        if (is_among(unreadable, clip->path) ||
            source_features(extractor, full_path(clip->path), clip->path, clip->size_bytes,
                            &clip->digest, features) != STATUS_OK) {
            bad = clip->index;
            break;
        }
        CHECK_INT(features->frames, clip->frames);
        TrainClip added = {.log_mel = features->log_mel,
                           .frames = features->frames,
                           .index = (int32_t)clip->index};
        CHECK_OK(trainer_add_clip(lesson->trainer, &added));
    }
    clip_extractor_free(extractor);
    return bad;
}

static uint32_t prepare(Lesson *lesson) {
    Shape shape = shape_official(&settings);
    int64_t frames[1024] = {0};
    int32_t count = 0;
    for (uint32_t i = 0; i < lesson->plan.clip_count; i++) {
        count = (int32_t)lesson->plan.clips[i].index + 1;
        frames[lesson->plan.clips[i].index] = lesson->plan.clips[i].frames;
    }
    CHECK_OK(shard_plan_make(&shape, &settings, frames, count, &lesson->shards));
    TrainerConfig config = {.shape = shape,
                            .plan = lesson->shards,
                            .shard_count = settings.shards,
                            .seed = lesson->seed,
                            .model_key = lesson->plan.model_key};
    CHECK_OK(trainer_new(&config, &lesson->trainer));
    lesson->features = mem_new(lesson->plan.clip_count, sizeof *lesson->features);
    uint32_t bad = load_clips(lesson);
    if (bad == UINT32_MAX) {
        CHECK_OK(trainer_seal(lesson->trainer));
    }
    return bad;
}

static void learn(Lesson *lesson) {
    static const Digest initial;
    Shape shape = shape_official(&settings);
    Buffer state = BUFFER_EMPTY;
    if (digest_equal(lesson->body.state, initial)) {
        lesson->replica = replica_new(&shape);
        replica_init(lesson->replica, lesson->seed, lesson->plan.model_key);
        ScalerSums *sums = scaler_sums_new(shape_dimension(&shape));
        CHECK_OK(trainer_scaler_sums(lesson->trainer, sums));
        CHECK_OK(replica_set_scaler(lesson->replica, sums));
        scaler_sums_free(sums);
    } else {
        get_blob(lesson->body.state, &state);
        CHECK_OK(replica_read(state.bytes, state.size, &lesson->replica));
    }
    Partial *partial = partial_new(&shape);
    ValidationSums *validation = validation_new(lesson->shards.validation_rounds);
    CHECK_INT(replica_epoch(lesson->replica), lesson->body.from_epoch);
    while (replica_epoch(lesson->replica) < lesson->body.until_epoch) {
        if (replica_round(lesson->replica) < lesson->shards.rounds) {
            CHECK_OK(trainer_round(lesson->trainer, lesson->replica, partial));
            CHECK_OK(replica_apply(lesson->replica, partial, settings.learning_rate));
        } else {
            trainer_validate(lesson->trainer, lesson->replica, validation);
            CHECK_OK(replica_end_epoch(lesson->replica, validation));
        }
    }
    partial_free(partial);
    validation_free(validation);
    buffer_done(&state);
}

static void say_trained(const WireTask *task, const Lesson *lesson) {
    Buffer state = BUFFER_EMPTY, body = BUFFER_EMPTY;
    CoreSession session;
    CHECK(core_session(core, peer, &session));
    replica_write(lesson->replica, REPLICA_ALL, &state);
    Message header = {.type = MESSAGE_BLOB};
    header.blob.kind = BLOB_STATE;
    header.blob.task = task->task;
    header.blob.attempt = task->attempt;
    core_on_blob(core, session.token, &header, state.bytes, state.size, now_ms);
    body_encode_train_answer(&(TrainAnswer){4, 4000, digest_of(state.bytes, state.size)}, &body);
    say_result(task, RESULT_DONE, &body);
    buffer_done(&state);
    buffer_done(&body);
}

static void do_train(const WireTask *task, Decoded *decoded) {
    Lesson lesson = {0};
    CHECK_OK(body_decode_train(decoded, task->body, task->body_bytes, &lesson.body));
    begin_lesson(&lesson, lesson.body.plan, decoded);
    static Digest last;
    plan_changes += !digest_equal(last, lesson.body.plan);
    last = lesson.body.plan;
    uint32_t bad = prepare(&lesson);
    if (bad != UINT32_MAX) {
        say_cannot(task, RESULT_CANNOT, bad, true, "cannot be read: as ordered");
    } else if (dirty_trainings > 0) {
        dirty_trainings--;
        say_cannot(task, RESULT_IMPOSSIBLE, 0, false, "training diverged: as ordered");
    } else {
        learn(&lesson);
        say_trained(task, &lesson);
    }
    end_lesson(&lesson);
}

// ---- RESIDUALS and BATCHES ----

typedef struct ShardWork {
    ResidualSums *source, *target;
    const Yardsticks *yardsticks;
    Buffer training, held_out;
} ShardWork;

static Status sum_batch(void *context, const ResidualBatch *batch) {
    ShardWork *work = context;
    if (!batch->is_held_out) {
        residual_sums_add(work->source, batch->residuals, batch->is_target, batch->rows,
                          settings.frames, false);
        residual_sums_add(work->target, batch->residuals, batch->is_target, batch->rows,
                          settings.frames, true);
    }
    return STATUS_OK;
}

static Status score_batch(void *context, const ResidualBatch *batch) {
    ShardWork *work = context;
    double row[4] = {0}; // n_mels
    int rows = batch->rows * settings.frames;
    for (int i = 0; i < rows * settings.n_mels; i++) {
        row[i % settings.n_mels] += (double)batch->residuals[i] / rows;
    }
    double score =
        mahala_of_row(&work->yardsticks->source, yardsticks_target(work->yardsticks), row);
    buffer_append(batch->is_held_out ? &work->held_out : &work->training, &score, sizeof score);
    return STATUS_OK;
}

// The last answer to a RESIDUALS or BATCHES task.
static WireTask last_shard;
static Buffer last_shard_body;

static void measure_shard(const WireTask *task, const Lesson *lesson, const ModelFile *model) {
    Buffer body = BUFFER_EMPTY;
    ShardWork work = {.source = residual_sums_new(settings.n_mels, settings.compat != 0),
                      .target = residual_sums_new(settings.n_mels, settings.compat != 0),
                      .yardsticks = &model->yardsticks};
    bool is_sum = task->kind == TASK_RESIDUALS;
    CHECK(is_sum || model_file_gives(model, SCORE_MAHALA));
    CHECK_OK(trainer_residuals(lesson->trainer, model->replica, lesson->shard,
                               is_sum ? sum_batch : score_batch, &work));
    if (is_sum) {
        ResidualsAnswer answer;
        answer.source = residual_sums_bytes(work.source, &answer.source_bytes);
        answer.target = residual_sums_bytes(work.target, &answer.target_bytes);
        body_encode_residuals_answer(&answer, &body);
    } else {
        body_encode_batches_answer(&(BatchesAnswer){work.training.bytes, work.held_out.bytes,
                                                    work.training.size, work.held_out.size},
                                   &body);
    }
    last_shard = *task;
    buffer_clear(&last_shard_body);
    buffer_append(&last_shard_body, body.bytes, body.size);
    say_result(task, RESULT_DONE, &body);
    residual_sums_free(work.source);
    residual_sums_free(work.target);
    buffer_done(&work.training);
    buffer_done(&work.held_out);
    buffer_done(&body);
}

static void do_shard(const WireTask *task, Decoded *decoded) {
    Lesson lesson = {0};
    ShardBody body;
    ModelFile model;
    Buffer model_bytes = BUFFER_EMPTY;
    CHECK_OK(body_decode_shard(decoded, task->body, task->body_bytes, &body));
    get_blob(body.model, &model_bytes);
    begin_lesson(&lesson, body.plan, decoded);
    CHECK_OK(model_file_read("m", model_bytes.bytes, model_bytes.size, &model));
    lesson.shard = (int32_t)body.shard;
    uint32_t bad = prepare(&lesson);
    if (bad != UINT32_MAX) {
        say_cannot(task, RESULT_CANNOT, bad, true, "cannot be read: as ordered");
    } else {
        measure_shard(task, &lesson, &model);
    }
    model_file_done(&model);
    buffer_done(&model_bytes);
    end_lesson(&lesson);
}

// ---- EXPLORE ----

static void do_explore(const WireTask *task, Decoded *decoded) {
    ExploreBody body;
    CHECK_OK(body_decode_explore(decoded, task->body, task->body_bytes, &body));
    if (!may_do(task, body.clips, body.clip_count)) {
        return;
    }
    ClipExplorer *explorer = clip_explorer_new(&settings);
    ExploreAnswer answers[PROTO_TASK_CLIPS];
    Exploration found[PROTO_TASK_CLIPS] = {{0}};
    static char reasons[PROTO_TASK_CLIPS][512];
    bool all = true;
    for (uint32_t i = 0; i < body.clip_count; i++) {
        const WireClip *clip = &body.clips[i];
        Status status = source_explore(explorer, full_path(clip->path), clip->path,
                                       clip->size_bytes, &clip->digest, &found[i]);
        if (refuses_explorations && status == STATUS_OK) {
            status = status_set(STATUS_FORMAT, "too loud");
        }
        if (wrong_explorations > 0 && status == STATUS_OK) {
            found[i].mean[0] = NAN;
        }
        answers[i] = (ExploreAnswer){.outcome = outcome_of(status, reasons[i]),
                                     .is_sound = found[i].is_sound,
                                     .numbers = found[i].numbers,
                                     .numbers_bytes = sizeof found[i].numbers,
                                     .bands = found[i].mean,
                                     .bands_bytes = 2 * (size_t)found[i].n_mels * sizeof(double),
                                     .reason = reasons[i]};
        all = all && answers[i].outcome != CLIP_UNREADABLE;
    }
    Buffer bytes = BUFFER_EMPTY;
    if (all) {
        body_encode_explore_answers(answers, body.clip_count, &bytes);
        say_result(task, RESULT_DONE, &bytes);
    } else {
        say_cannot(task, RESULT_CANNOT, 0, true, "cannot be read");
    }
    if (all && wrong_explorations > 0) {
        wrong_explorations--;
        join(); // who gives such an answer is shut out
    }
    for (uint32_t i = 0; i < body.clip_count; i++) {
        exploration_done(&found[i]);
    }
    clip_explorer_free(explorer);
    buffer_done(&bytes);
}

// ---- PORTRAIT ----

static Status make_portrait(const ExploreBody *body, Portrait *portrait) {
    static const Digest none;
    const WireClip *clip = &body->clips[0];
    Buffer model = BUFFER_EMPTY;
    Portraitist *portraitist;
    bool has_model = !digest_equal(body->model, none);
    if (has_model) {
        get_blob(body->model, &model);
    }
    CHECK_OK(portraitist_new(&settings, has_model ? model.bytes : NULL, model.size, &portraitist));
    Status status = source_portrait(portraitist, full_path(clip->path), clip->path,
                                    clip->size_bytes, &clip->digest, portrait);
    portraitist_free(portraitist);
    buffer_done(&model);
    return status;
}

static void do_portrait(const WireTask *task, Decoded *decoded) {
    ExploreBody body;
    CHECK_OK(body_decode_explore(decoded, task->body, task->body_bytes, &body));
    CHECK_INT(body.clip_count, 1);
    if (!may_do(task, body.clips, 1)) {
        return;
    }
    Buffer values = BUFFER_EMPTY, bytes = BUFFER_EMPTY;
    Portrait portrait = {0};
    if (make_portrait(&body, &portrait) != STATUS_OK) {
        say_cannot(task, RESULT_CANNOT, 0, true, "cannot be read");
        return;
    }
    portrait_pack(&portrait, &values);
    PortraitAnswer answer = {.columns = (uint32_t)portrait.columns + (wrong_pictures > 0),
                             .mel_rows = (uint32_t)portrait.mel_rows,
                             .spectrum_rows = (uint32_t)portrait.spectrum_rows,
                             .mfcc_rows = (uint32_t)portrait.mfcc_rows,
                             .rate_hz = (uint32_t)portrait.rate_hz,
                             .has_residual = portrait.has_residual,
                             .seconds = portrait.seconds,
                             .values = values.bytes,
                             .values_bytes = values.size,
                             .reason = ""};
    body_encode_portrait_answers(&answer, 1, &bytes);
    say_result(task, RESULT_DONE, &bytes);
    if (wrong_pictures > 0) {
        wrong_pictures--;
        join(); // who gives such an answer is shut out
    }
    portrait_done(&portrait);
    buffer_done(&values);
    buffer_done(&bytes);
}

static void do_task(const WireTask *task) {
    Decoded *decoded = decoded_new();
    given[task->kind]++;
    if (task->kind == TASK_PROBE) {
        do_probe(task, decoded);
    } else if (task->kind == TASK_TRAIN) {
        do_train(task, decoded);
    } else if (task->kind == TASK_SCORE) {
        do_score(task, decoded);
    } else if (task->kind == TASK_EXPLORE) {
        do_explore(task, decoded);
    } else if (task->kind == TASK_PORTRAIT) {
        do_portrait(task, decoded);
    } else {
        do_shard(task, decoded);
    }
    decoded_free(decoded);
}

// ---- the loop ----

static Status act(const CoreAction *action) {
    const void *bytes = action->blob.bytes;
    size_t size = action->blob.size;
    switch ((int)action->kind) {
    case CORE_SEND:
        // A worker that dies on one of the tasks does no more.
        for (uint32_t i = 0; action->message.type == MESSAGE_TASKS && action->peer == peer &&
                             i < action->message.tasks.count;
             i++) {
            do_task(&action->message.tasks.items[i]);
        }
        return STATUS_OK;
    case CORE_COMMIT:
        return plan_commit(plan, action->tag, bytes, size);
    case CORE_CANNOT:
        return plan_on_cannot(plan, core,
                              &(OwnerDoubt){action->tag, bytes, size, buffer_cstr(&action->items)},
                              &said, now_ms);
    case CORE_IMPOSSIBLE:
        return plan_on_impossible(plan, core, action->tag, bytes, size);
    case CORE_FAILED:
        return plan_on_failed(plan, action->tag, action->deaths, action->cannots);
    case CORE_POISON:
        return plan_on_poison(plan, core, action->tag, now_ms);
    default:
        return STATUS_OK;
    }
}

static Status drain_journal(void) {
    uint64_t ticket;
    Status status;
    while ((status = journal_next(journal, &ticket)) == STATUS_OK) {
        core_on_durable(core, (TaskTag)ticket, now_ms);
        Status applied = plan_on_durable(plan, core, (TaskTag)ticket, now_ms);
        if (applied != STATUS_OK) {
            return applied;
        }
    }
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

// One turn; the first failure.
static Status turn(void) {
    CoreAction action;
    Status status = STATUS_OK;
    now_ms += 10;
    say(&(Message){.type = MESSAGE_ALIVE});
    core_tick(core, now_ms);
    while (core_next_action(core, &action)) {
        if (status == STATUS_OK) {
            status = act(&action);
        }
        core_action_done(&action);
    }
    if (core_counts(core).answered > 0) {
        struct pollfd fd = {.fd = journal_fd(journal), .events = POLLIN};
        poll(&fd, 1, 1000);
    }
    status = status == STATUS_OK ? drain_journal() : status;
    return status == STATUS_OK ? plan_catch_up(plan, core, now_ms) : status;
}

static Status run_to_end(void) {
    join();
    Status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && !plan_is_over(plan); i++) {
        CHECK(i < 5000);
        status = turn();
    }
    return status;
}

// ---- looking in ----

static uint32_t clip_called(const char *path) {
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        if (strcmp(dataset->clips[c].path, path) == 0) {
            return c;
        }
    }
    TEST_FAIL("no clip %s", path);
    return 0;
}

static const ClipState *state_of(const char *path) {
    return plan_clip_state(plan, 0, clip_called(path));
}

static ClipResult result_of(const char *path) {
    return plan_clip_result(plan, 0, clip_called(path));
}

static const char *left_out(const char *path) {
    const char *reason = result_of(path).left_out;
    return reason != NULL ? reason : "";
}

static const ModelState *model_called(const char *label) {
    for (uint32_t m = 0; m < plan_models(plan)->count; m++) {
        if (strcmp(plan_models(plan)->models[m].label, label) == 0) {
            return plan_model_state(plan, m);
        }
    }
    TEST_FAIL("no model %s", label);
    return NULL;
}

static void check_counts(void) {
    PlanCounts counts = plan_counts(plan);
    CHECK_INT(counts.stage, STAGE_REPORT);
    CHECK_INT(counts.clips_probed, counts.clips);
    CHECK_INT(counts.epochs_trained, counts.epochs);
    CHECK_INT(counts.clips_scored, counts.clips_to_score);
    CHECK_INT(core_counts(core).waiting, 0);
    CHECK_INT(core_counts(core).answered, 0);
}

// Over all that a run gives: models, scores, reasons.
static Digest digest_of_all(void) {
    DigestStream *stream = digest_begin();
    for (uint32_t m = 0; m < plan_models(plan)->count; m++) {
        const ModelState *model = plan_model_state(plan, m);
        digest_add_text(stream, plan_models(plan)->models[m].label);
        digest_add_text(stream, model->failure != NULL ? model->failure : "");
        digest_add(stream, buffer_cstr(&model->file), model->file.size);
    }
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        ClipResult clip = plan_clip_result(plan, 0, c);
        digest_add_text(stream, dataset->clips[c].path);
        digest_add_text(stream, clip.left_out != NULL ? clip.left_out : "");
        digest_add(stream, &clip.score, sizeof clip.score);
    }
    return digest_end(stream);
}

static bool has_warning(const char *part) {
    for (uint32_t i = 0; plan_warning(plan, i) != NULL; i++) {
        if (strstr(plan_warning(plan, i), part) != NULL) {
            return true;
        }
    }
    return false;
}

// ---- the way of a run ----

TEST(a_run_probes_trains_and_scores_every_clip) {
    begin();
    put_machine("fan", 40);
    put_machine("pump", 5);
    open_run(STAGE_REPORT);
    CHECK_INT(plan_counts(plan).stage, STAGE_EXTRACT);
    CHECK_INT(plan_counts(plan).clips, 49);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK(given[TASK_PROBE] >= 4 && given[TASK_PROBE] <= 8); // training and test clips apart
    CHECK_INT(given[TASK_SCORE], given[TASK_PROBE]);
    CHECK_INT(plan_counts(plan).epochs, 6);
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        ClipResult clip = plan_clip_result(plan, 0, c);
        CHECK(plan_clip_state(plan, 0, c)->is_probed && clip.is_scored && clip.left_out == NULL);
        CHECK(isfinite(clip.score) && clip.score > 0);
    }
    end();
}

TEST(a_worker_trains_one_model_to_its_end_before_the_next) {
    begin();
    CHECK_OK(settings_assign(&settings, "epochs=9"));
    put_machine("fan", 5);
    put_machine("pump", 5);
    put_machine("valve", 5);
    plan_changes = 0;
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_INT(plan_changes, 3);
    CHECK(given[TASK_TRAIN] > 6); // each in several pieces
    end();
}

TEST(a_run_may_end_after_each_stage_and_goes_on_from_there) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest whole = digest_of_all();
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_TRAIN] + given[TASK_SCORE], 0);
    close_run();
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_PROBE] == 0 && given[TASK_TRAIN] > 0 && given[TASK_SCORE] == 0);
    CHECK(model_called("fan")->is_trained && !model_called("fan")->is_scored);
    close_run();
    open_run(STAGE_SCORE);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_PROBE] == 0 && given[TASK_TRAIN] == 0 && given[TASK_SCORE] == 2);
    CHECK(digest_equal(digest_of_all(), whole));
    end();
}

TEST(a_finished_run_gives_no_task_again) {
    begin();
    put_machine("fan", 40);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest first = digest_of_all();
    close_run();
    open_run(STAGE_REPORT);
    CHECK(plan_is_over(plan)); // before any worker is there
    check_counts();
    CHECK(digest_equal(digest_of_all(), first));
    end();
}

TEST(a_run_stopped_anywhere_ends_alike) {
    begin();
    put_machine("fan", 40);
    put_machine("pump", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    for (int turns = 1; turns < 12; turns++) {
        CHECK_OK(file_remove_tree(run_folder));
        CHECK_OK(file_make_folders(run_folder));
        for (int life = 0; life < 3; life++) {
            open_run(STAGE_REPORT);
            join();
            for (int i = 0; i < turns && !plan_is_over(plan); i++) {
                CHECK_OK(turn());
            }
            close_run();
        }
        open_run(STAGE_REPORT);
        CHECK_OK(run_to_end());
        check_counts();
        CHECK(digest_equal(digest_of_all(), expected));
        close_run();
    }
    open_run(STAGE_REPORT);
    end();
}

static void flip_byte(const char *path, Rng *rng) {
    Buffer bytes = BUFFER_EMPTY;
    CHECK_OK(file_read(path, 1 << 24, &bytes));
    CHECK(bytes.size > 0);
    bytes.bytes[rng_below(rng, (uint32_t)bytes.size)] ^= (char)(1 + rng_below(rng, 255));
    CHECK_OK(file_write_buffer(path, &bytes));
    buffer_done(&bytes);
}

// The file of a generation of the fan's state: 0 is the newest.
static const char *checkpoint(uint32_t generation) {
    static char path[600];
    JournalState states[2];
    uint32_t count;
    CHECK_OK(journal_states(journal, "data/fan/seed_13711", states, &count));
    CHECK_INT(count, 2);
    snprintf(path, sizeof path, "%s/data/fan/seed_13711/%s", run_folder, states[generation].file);
    return path;
}

TEST(of_a_damaged_checkpoint_the_older_one_is_used_and_of_two_none) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    char newest[600], oldest[600];
    snprintf(newest, sizeof newest, "%s", checkpoint(0));
    snprintf(oldest, sizeof oldest, "%s", checkpoint(1));
    CHECK(strcmp(newest, oldest) != 0);
    close_run();
    Rng rng = rng_of(1, "flip", 0, 0);
    for (int both = 0; both < 2; both++) {
        flip_byte(newest, &rng);
        if (both) {
            flip_byte(oldest, &rng);
        }
        open_run(STAGE_REPORT);
        CHECK(has_warning(both ? "; it is trained anew" : "; it goes on from epoch 1"));
        CHECK_INT(plan_counts(plan).epochs_trained, both ? 0 : 1);
        CHECK_OK(run_to_end());
        CHECK(given[TASK_TRAIN] > 0);
        CHECK_INT(given[TASK_SCORE], 0); // the same model: its scores are in the journal
        CHECK(digest_equal(digest_of_all(), expected));
        snprintf(newest, sizeof newest, "%s", checkpoint(0));
        snprintf(oldest, sizeof oldest, "%s", checkpoint(1));
        close_run();
    }
    open_run(STAGE_REPORT);
    CHECK(plan_is_over(plan) && plan_warning(plan, 0) == NULL);
    end();
}

// ---- what a change costs ----

TEST(a_clip_that_comes_or_goes_costs_the_task_that_it_is_in) {
    begin();
    put_machine("fan", 300);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    int all = given[TASK_PROBE];
    CHECK(all > 6 && all < 30); // 32 clips on average, at most 64
    close_run();
    put_npy("fan/train/normal_0100b.npy", 10, 7);
    put_npy("fan/test/c.npy", 10, 7);
    open_run(STAGE_EXTRACT);
    CHECK_INT(plan_counts(plan).clips, 304);
    CHECK(plan_counts(plan).clips_probed > 302 - 2 * 64);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_PROBE] >= 2 && given[TASK_PROBE] <= 5); // one or two, and what 64 cuts
    close_run();
    CHECK(unlink(full_path("fan/train/normal_0200.npy")) == 0);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_PROBE] >= 1 && given[TASK_PROBE] <= 3);
    end();
}

TEST(a_training_of_more_epochs_goes_on_and_gives_the_bits_of_one_begun_so) {
    begin();
    put_machine("fan", 5);
    CHECK_OK(settings_assign(&settings, "epochs=5"));
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    CHECK_OK(settings_assign(&settings, "epochs=3"));
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    close_run();
    CHECK_OK(settings_assign(&settings, "epochs=5"));
    open_run(STAGE_REPORT);
    CHECK_INT(plan_counts(plan).epochs_trained, 3);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_PROBE] == 0 && given[TASK_SCORE] == 2);
    CHECK(digest_equal(digest_of_all(), expected));
    end();
}

TEST(other_arithmetic_shares_no_answer) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    close_run();
    arithmetic = digest_of("another kernel", 14);
    may_redo = true;
    open_run(STAGE_REPORT);
    CHECK_INT(plan_counts(plan).clips_probed, 0);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_PROBE] == 2 && given[TASK_TRAIN] > 0 && given[TASK_SCORE] == 2);
    end();
}

// ---- several seeds ----

static Digest digest_of_system(uint32_t system) {
    DigestStream *stream = digest_begin();
    const Models *models = plan_models(plan);
    for (uint32_t m = 0; m < models->per_variant; m++) {
        const ModelState *model = plan_model_state(plan, system * models->per_variant + m);
        digest_add(stream, buffer_cstr(&model->file), model->file.size);
    }
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        ClipResult clip = plan_clip_result(plan, system, c);
        CHECK(clip.is_scored && clip.left_out == NULL);
        digest_add(stream, &clip.score, sizeof clip.score);
    }
    return digest_end(stream);
}

static void run_with_seeds(const char *seeds) {
    CHECK_OK(settings_set(&settings, "seeds", seeds));
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    check_counts();
}

TEST(a_seed_added_to_a_run_trains_its_models_and_nothing_else) {
    begin();
    put_machine("fan", 40);
    put_machine("pump", 5);
    run_with_seeds("1");
    Digest first = digest_of_system(0);
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    run_with_seeds("2");
    Digest second = digest_of_system(0);
    CHECK(!digest_equal(first, second));
    int trained = given[TASK_TRAIN], scored = given[TASK_SCORE];
    close_run();
    run_with_seeds("2, 1");
    CHECK_INT(given[TASK_PROBE], 0);
    CHECK_INT(given[TASK_TRAIN], trained);
    CHECK_INT(given[TASK_SCORE], scored);
    CHECK(digest_equal(digest_of_system(0), second));
    CHECK(digest_equal(digest_of_system(1), first));
    close_run();
    run_with_seeds("1, 2"); // another order: nothing to do
    CHECK_INT(given[TASK_PROBE] + given[TASK_TRAIN] + given[TASK_SCORE], 0);
    CHECK(digest_equal(digest_of_system(0), first));
    CHECK(digest_equal(digest_of_system(1), second));
    end();
}

// ---- what varies ----

static const char *folder_of(uint32_t model) {
    return plan_models(plan)->models[model].folder;
}

TEST(a_training_is_found_where_it_stands_when_folders_are_called_otherwise) {
    begin();
    put_machine("fan", 5);
    CHECK_OK(settings_assign(&settings, "epochs=5"));
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest longer = digest_of_system(0);
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    CHECK_OK(settings_assign(&settings, "epochs=3"));
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest shorter = digest_of_system(0);
    close_run();
    // The first keeps its folder; the second, the same training, goes on from there in its own.
    for (int again = 0; again < 2; again++) {
        CHECK_OK(settings_assign(&settings, "matrix={epochs: [3, 5]}"));
        CHECK_OK(settings_check(&settings));
        open_run(STAGE_REPORT);
        CHECK_TEXT(folder_of(0), "fan/seed_13711");
        CHECK_TEXT(folder_of(1), "fan/epochs_5_seed_13711");
        CHECK_INT(plan_counts(plan).epochs, 8);
        CHECK_INT(plan_counts(plan).epochs_trained, again ? 8 : 6);
        CHECK_OK(run_to_end());
        CHECK_INT(given[TASK_PROBE], 0);
        CHECK(digest_equal(digest_of_system(0), shorter));
        CHECK(digest_equal(digest_of_system(1), longer));
        close_run();
    }
    CHECK_OK(settings_assign(&settings, "matrix={}"));
    CHECK_OK(settings_assign(&settings, "epochs=5"));
    open_run(STAGE_REPORT);
    CHECK_TEXT(folder_of(0), "fan/seed_13711"); // where it stands at epoch 3: its own
    CHECK_INT(plan_counts(plan).epochs_trained, 3);
    end();
}

TEST(systems_with_the_same_features_read_each_clip_once_and_others_read_it_again) {
    begin();
    put_machine("fan", 5);
    CHECK_OK(settings_assign(&settings, "matrix={epochs: [1, 2], score: [MSE, CLIPMAHALA]}"));
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    int once = given[TASK_PROBE];
    CHECK_INT(plan_counts(plan).clips, dataset->clip_count);
    close_run();
    CHECK_OK(settings_assign(&settings, "matrix={epochs: [1, 2], fmin: [0, 50]}"));
    open_run(STAGE_EXTRACT);
    CHECK_INT(plan_counts(plan).clips, 2 * dataset->clip_count);
    CHECK_INT(plan_counts(plan).clips_probed, dataset->clip_count);
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_PROBE], once);
    end();
}

TEST(a_seed_whose_training_diverges_leaves_the_others_alone) {
    begin();
    put_machine("fan", 5);
    CHECK_OK(settings_set(&settings, "seeds", "1, 2"));
    open_run(STAGE_REPORT);
    dirty_trainings = 1;
    CHECK_OK(run_to_end());
    check_counts();
    uint32_t failed = model_called("fan")->failure != NULL ? 0 : 1;
    CHECK(plan_model_state(plan, 1 - failed)->is_scored);
    CHECK_HAS(plan_model_state(plan, failed)->failure, "diverged");
    uint32_t clip = clip_called("fan/test/a.npy");
    CHECK_HAS(plan_clip_result(plan, failed, clip).left_out, "no model for fan: training diverged");
    ClipResult other = plan_clip_result(plan, 1 - failed, clip);
    CHECK(other.is_scored && other.left_out == NULL);
    end();
}

TEST(a_model_that_other_data_have_trained_is_not_overwritten_unasked) {
    begin();
    put_machine("fan", 5);
    put_machine("pump", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_TEXT(plan_refusal(plan), "");
    close_run();
    put_npy("fan/train/normal_0005.npy", 11, 99);
    for (int i = 0; i < 2; i++) {
        open_run(STAGE_REPORT);
        CHECK_OK(run_to_end());
        CHECK_TEXT(plan_refusal(plan),
                   "fan: 3 epochs of it were trained on other data or settings\n");
        CHECK(model_called("fan")->is_held && !model_called("pump")->is_held);
        CHECK_INT(given[TASK_PROBE], i == 0 ? 1 : 0);
        CHECK_INT(given[TASK_TRAIN] + given[TASK_SCORE], 0);
        close_run();
    }
    may_redo = true;
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_TEXT(plan_refusal(plan), "");
    CHECK(given[TASK_TRAIN] > 0 && model_called("fan")->is_scored);
    check_counts();
    end();
}

TEST(what_was_left_out_is_looked_at_again_when_asked_for) {
    begin();
    put_machine("fan", 5);
    put("fan/test/c.npy", "broken", 6);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    retries = true;
    open_run(STAGE_REPORT);
    close_run(); // at once, and whoever continues looks at it all the same
    retries = false;
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_PROBE], 1);
    CHECK_INT(given[TASK_TRAIN] + given[TASK_SCORE], 0);
    CHECK(digest_equal(digest_of_all(), expected));
    end();
}

// ---- what the data are ----

TEST(the_rate_of_most_clips_is_the_machines) {
    begin();
    put_wav("fan/train/normal_0.wav", 16000);
    put_wav("fan/train/normal_1.wav", 16000);
    put_wav("fan/train/normal_2.wav", 8000);
    put_wav("fan/test/a.wav", 44100);
    put_npy("fan/test/b.npy", 12, 1); // of any rate
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK_INT(model_called("fan")->rate_hz, 16000);
    CHECK_TEXT(left_out("fan/train/normal_0.wav"), "");
    CHECK_TEXT(left_out("fan/train/normal_2.wav"),
               "its rate is 8000 Hz, most clips of fan have 16000 Hz");
    CHECK_HAS(left_out("fan/test/a.wav"), "44100 Hz");
    CHECK_TEXT(left_out("fan/test/b.npy"), "");
    end();
}

TEST(on_a_tie_the_training_clips_rate_decides_and_then_the_lower) {
    begin();
    put_wav("fan/train/normal_0.wav", 16000);
    put_wav("fan/train/normal_1.wav", 16000);
    put_wav("fan/test/a.wav", 8000);
    put_wav("fan/test/b.wav", 8000);
    put_wav("pump/train/normal_0.wav", 16000);
    put_wav("pump/train/normal_1.wav", 8000);
    put_wav("pump/test/a.wav", 16000);
    put_wav("pump/test/b.wav", 8000);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK_INT(model_called("fan")->rate_hz, 16000);
    CHECK_HAS(left_out("fan/test/a.wav"), "8000 Hz");
    CHECK_INT(model_called("pump")->rate_hz, 8000);
    CHECK_HAS(left_out("pump/train/normal_0.wav"), "16000 Hz");
    end();
}

TEST(training_clips_left_out_keep_the_index_of_the_others) {
    begin();
    may_redo = true;
    put_machine("fan", 9);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    Buffer kept = BUFFER_EMPTY;
    buffer_append(&kept, model_called("fan")->file.bytes, model_called("fan")->file.size);
    close_run();
    // A broken clip between the others: every other one stays in its shard, and in the plan that
    // workers get clip 3 is simply not there.
    put("fan/train/normal_0003.npy", "broken", 6);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    CHECK(left_out("fan/train/normal_0003.npy")[0] != '\0');
    CHECK(model_called("fan")->is_trained);
    CHECK(model_called("fan")->file.size == kept.size &&
          memcmp(model_called("fan")->file.bytes, kept.bytes, kept.size) != 0);
    Buffer second = BUFFER_EMPTY;
    buffer_append(&second, model_called("fan")->file.bytes, model_called("fan")->file.size);
    close_run();
    // Had the others moved up, a clip more at the end would have filled the gap.
    put("fan/train/normal_0003.npy", "broken in another way", 21);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    CHECK(memcmp(model_called("fan")->file.bytes, second.bytes, second.size) == 0);
    buffer_done(&kept);
    buffer_done(&second);
    end();
}

TEST(anomalies_among_training_clips_are_not_trained_on) {
    begin();
    put_machine("fan", 5);
    put_npy("fan/train/anomaly_id_00_00000009.npy", 12, 9);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_TEXT(left_out("fan/train/anomaly_id_00_00000009.npy"),
               "an anomaly among the training clips");
    CHECK(!state_of("fan/train/anomaly_id_00_00000009.npy")->is_probed);
    CHECK(!result_of("fan/train/anomaly_id_00_00000009.npy").is_scored);
    CHECK(model_called("fan")->is_scored);
    end();
}

TEST(a_machine_without_training_clips_has_no_model_and_says_so) {
    begin();
    put_machine("fan", 5);
    put_npy("pump/test/a.npy", 12, 1);
    put_machine("valve", 1);
    put("valve/train/normal_0000.npy", "broken", 6);
    put_machine("slider", 1);
    put_npy("slider/train/normal_0000.npy", 3, 1); // one vector: nothing to train on
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK(model_called("fan")->is_scored);
    CHECK_HAS(model_called("pump")->failure, "no training clips");
    CHECK_HAS(model_called("valve")->failure, "no training clips");
    CHECK_HAS(model_called("slider")->failure, "too few vectors");
    CHECK_TEXT(left_out("pump/test/a.npy"),
               "no model for pump: it has no training clips that can be used");
    CHECK_HAS(left_out("valve/test/b.npy"), "no model for valve");
    CHECK(has_warning("no model for pump"));
    end();
}

TEST(silent_clips_are_used_and_warned_of) {
    begin();
    put_machine("fan", 5);
    Buffer file = BUFFER_EMPTY;
    int16_t silence[4096] = {0};
    wavfile_format(silence, 4096, 1, 16000, &file);
    put("fan/test/silence.wav", file.bytes, file.size);
    buffer_done(&file);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK(result_of("fan/test/silence.wav").is_scored);
    CHECK(has_warning("fan: 1 clip of nothing but zeros"));
    end();
}

// ---- what workers cannot do ----

TEST(what_a_worker_cannot_read_and_the_coordinator_can_is_used) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    open_run(STAGE_REPORT);
    unreadable[0] = "fan/test/b"; // probed and scored, not trained on
    CHECK_OK(run_to_end());
    CHECK_HAS(buffer_cstr(&said), "could do the reading of fan/test/a.npy and 1 more clip;");
    CHECK_HAS(buffer_cstr(&said),
              "the scoring of fan/test/a.npy and 1 more clip by the model of fan");
    check_counts();
    CHECK(digest_equal(digest_of_all(), expected));
    end();
}

// The reasons are those that a worker gives.
TEST(what_the_coordinator_cannot_use_either_is_left_out_in_the_same_words) {
    begin();
    put_machine("fan", 5);
    put_npy("fan/test/short.npy", 2, 1);
    put_wav("fan/test/short.wav", 16000);
    Buffer wav = BUFFER_EMPTY;
    int16_t sound[100] = {1, 2, 3};
    wavfile_format(sound, 100, 1, 16000, &wav);
    put("fan/test/short.wav", wav.bytes, wav.size);
    buffer_done(&wav);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    char words[2][512];
    snprintf(words[0], sizeof words[0], "%s", left_out("fan/test/short.npy"));
    snprintf(words[1], sizeof words[1], "%s", left_out("fan/test/short.wav"));
    CHECK_HAS(words[0], "a vector needs 3");
    CHECK_HAS(words[1], "a vector needs 3");
    Digest expected = digest_of_all();
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    open_run(STAGE_REPORT);
    unreadable[0] = "fan/test/a";
    CHECK_OK(run_to_end());
    CHECK_TEXT(left_out("fan/test/short.npy"), words[0]);
    CHECK_TEXT(left_out("fan/test/short.wav"), words[1]);
    CHECK(digest_equal(digest_of_all(), expected));
    end();
}

TEST(a_clip_that_vanished_after_the_scan_is_left_out) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_REPORT);
    CHECK(unlink(full_path("fan/test/a.npy")) == 0);
    CHECK(unlink(full_path("fan/train/normal_0002.npy")) == 0);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_TEXT(left_out("fan/test/a.npy"), "cannot be read: No such file or directory");
    CHECK_TEXT(left_out("fan/train/normal_0002.npy"), "cannot be read: No such file or directory");
    CHECK(model_called("fan")->is_scored);
    end();
}

// A data disk that was away for a moment must not cost clips for ever.
TEST(what_could_not_be_read_is_tried_again_when_the_run_is_continued) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    open_run(STAGE_REPORT);
    char away[1024];
    snprintf(away, sizeof away, "%s/away", folder);
    CHECK(rename(full_path("fan/test/a.npy"), away) == 0); // and with its time when it is back
    CHECK_OK(run_to_end());
    CHECK_TEXT(left_out("fan/test/a.npy"), "cannot be read: No such file or directory");
    close_run();
    CHECK(rename(away, full_path("fan/test/a.npy")) == 0);
    for (int i = 0; i < 2; i++) {
        open_run(STAGE_REPORT);
        CHECK_OK(run_to_end());
        CHECK_TEXT(left_out("fan/test/a.npy"), "");
        CHECK(digest_equal(digest_of_all(), expected));
        CHECK_INT(given[TASK_PROBE], i == 0 ? 1 : 0); // and then no more
        CHECK_INT(given[TASK_TRAIN], 0);
        close_run();
    }
    open_run(STAGE_REPORT);
    end();
}

// Nor may a clip that was read and is away when it is scored.
TEST(what_could_not_be_scored_is_tried_again_when_the_run_is_continued) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    close_run();
    char away[1024];
    snprintf(away, sizeof away, "%s/away", folder);
    open_run(STAGE_REPORT);
    CHECK(rename(full_path("fan/test/a.npy"), away) == 0);
    unreadable[0] = "fan/test/a";
    CHECK_OK(run_to_end());
    CHECK_TEXT(left_out("fan/test/a.npy"), "cannot be read: No such file or directory");
    close_run();
    CHECK(rename(away, full_path("fan/test/a.npy")) == 0);
    unreadable[0] = NULL;
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK(result_of("fan/test/a.npy").is_scored);
    CHECK_TEXT(left_out("fan/test/a.npy"), "");
    CHECK_INT(given[TASK_PROBE], 0);
    CHECK_INT(given[TASK_SCORE], 1);
    end();
}

// Probed, then gone or changed when the training wants it: the training begins anew without it.
TEST(a_training_clip_that_vanished_after_probing_is_left_out_of_the_training) {
    begin();
    put_machine("fan", 7);
    put_machine("pump", 5);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT); // all probed already: now the trainings wait
    CHECK(unlink(full_path("fan/train/normal_0002.npy")) == 0);
    put_npy("fan/train/normal_0004.npy", 14, 99); // as long as before
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_INT(given[TASK_PROBE], 0);
    CHECK_TEXT(left_out("fan/train/normal_0002.npy"), "cannot be read: No such file or directory");
    CHECK_TEXT(left_out("fan/train/normal_0004.npy"), "changed since it was first read");
    CHECK(model_called("fan")->is_scored && model_called("pump")->is_scored);
    CHECK(!result_of("fan/train/normal_0002.npy").is_scored);
    CHECK_INT(plan_counts(plan).clips_to_score, 14);
    end();
}

// Of two seeds, one may score while the other finds out that a clip is gone.
TEST(a_training_clip_may_vanish_whatever_the_seeds_are_doing) {
    for (int turns = 0; turns < 12; turns++) {
        begin();
        put_machine("fan", 40);
        CHECK_OK(settings_set(&settings, "seeds", "1, 2"));
        open_run(STAGE_EXTRACT);
        CHECK_OK(run_to_end());
        close_run();
        open_run(STAGE_REPORT);
        join();
        for (int i = 0; i < 5000 && !plan_is_over(plan); i++) {
            if (i == turns) {
                CHECK(unlink(full_path("fan/train/normal_0002.npy")) == 0);
            }
            CHECK_OK(turn());
        }
        CHECK(plan_is_over(plan));
        check_counts();
        CHECK(model_called("fan")->is_scored && model_called("fan_seed_2")->is_scored);
        end();
    }
}

TEST(a_training_that_loses_all_its_clips_fails_alone) {
    begin();
    put_machine("fan", 1);
    put_machine("pump", 5);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    CHECK(unlink(full_path("fan/train/normal_0000.npy")) == 0);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_HAS(model_called("fan")->failure, "no training clips");
    CHECK(model_called("pump")->is_scored);
    end();
}

// Leaving out what this machine can read would make results depend on the cluster.
TEST(a_training_waits_for_a_worker_that_can_read_its_clips) {
    begin();
    put_machine("fan", 5);
    put_machine("pump", 5);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    unreadable[0] = "/train/";
    join();
    uint32_t wrong = peer;
    int warnings = 0;
    for (int i = 0; i < 200; i++) {
        CHECK_OK(turn());
        if (said.size > 0) {
            char name[32];
            snprintf(name, sizeof name, "worker %u cannot", wrong);
            CHECK_HAS(buffer_cstr(&said), name);
            CHECK_HAS(buffer_cstr(&said), "fan/train/normal_0000.npy");
            CHECK_HAS(buffer_cstr(&said), "--data");
            warnings++;
            buffer_clear(&said);
        }
    }
    CHECK_INT(warnings, 1); // though both models wait
    CHECK_INT(core_counts(core).stranded, 2);
    CHECK_INT(given[TASK_TRAIN], 2);
    CHECK(!plan_is_over(plan));
    unreadable[0] = NULL;
    CHECK_OK(run_to_end()); // by another one
    check_counts();
    CHECK_INT(core_counts(core).stranded, 0);
    Digest waited = digest_of_all();
    end();
    begin();
    put_machine("fan", 5);
    put_machine("pump", 5);
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK(digest_equal(waited, digest_of_all()));
    end();
}

// Local workers see what the coordinator sees, and nobody else comes.
TEST(a_training_clip_that_local_workers_cannot_read_ends_the_run_with_its_name) {
    begin();
    is_local = true;
    put_machine("fan", 5);
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    unreadable[0] = "fan/train/normal_0003";
    CHECK(run_to_end() == STATUS_IO);
    CHECK_HAS(status_message(), "fan/train/normal_0003.npy");
    close_run();
    unreadable[0] = NULL;
    open_run(STAGE_REPORT); // and goes on once that is mended
    CHECK_OK(run_to_end());
    check_counts();
    end();
}

TEST(a_training_that_diverges_fails_alone) {
    begin();
    put_machine("fan", 5);
    put_machine("pump", 5);
    open_run(STAGE_REPORT);
    dirty_trainings = 1; // it is the only worker there is
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_HAS(model_called("fan")->failure, "diverged");
    CHECK_HAS(left_out("fan/test/a.npy"), "no model for fan: training diverged");
    CHECK(model_called("pump")->is_scored);
    CHECK_INT(core_counts(core).abandoned, 1);
    end();
}

// ---- what an answer may say ----

static Status offer_probe(const ProbeAnswer *answer, uint32_t count) {
    Buffer body = BUFFER_EMPTY;
    ProbeAnswer answers[2] = {*answer, *answer};
    CoreHooks hooks = plan_hooks(plan);
    body_encode_probe_answers(answers, count, &body);
    CHECK_OK(body.status);
    Status status = hooks.take_answer(hooks.context, 0, (CoreShare){0, 0}, body.bytes, body.size);
    buffer_done(&body);
    return status;
}

static Digest digest_of_file(const char *path) {
    Buffer bytes = BUFFER_EMPTY;
    CHECK_OK(file_read(full_path(path), LIMIT_CLIP_BYTES, &bytes));
    Digest digest = digest_of(bytes.bytes, bytes.size);
    buffer_done(&bytes);
    return digest;
}

// A data folder of the worker's own, which is another data set's.
TEST(an_answer_about_other_bytes_than_are_here_is_not_taken) {
    begin();
    put_npy("fan/train/a.npy", 12, 1);
    open_run(STAGE_REPORT);
    ProbeAnswer answer = {.frames = 12, .vectors = 10, .channels = 1, .reason = ""};
    answer.digest = digest_of_file("fan/train/a.npy");
    CHECK_OK(offer_probe(&answer, 1));
    answer.digest.bytes[15] ^= 1;
    CHECK(offer_probe(&answer, 1) == STATUS_FORMAT);
    CHECK_HAS(status_message(), "fan/train/a.npy holds other bytes at the worker");
    put_npy("fan/train/a.npy", 12, 1); // at another time: who knows what was there
    CHECK_OK(offer_probe(&answer, 1));
    end();
}

// All workers read what the coordinator reads.
TEST(answers_of_local_workers_are_not_compared) {
    begin();
    is_local = true;
    put_npy("fan/train/a.npy", 12, 1);
    open_run(STAGE_REPORT);
    const ProbeAnswer answer = {.frames = 12, .vectors = 10, .channels = 1, .reason = ""};
    CHECK_OK(offer_probe(&answer, 1));
    end();
}

static void check_mistake_at(int look) {
    begin();
    put_machine("fan", 5);
    CHECK_OK(settings_assign(&settings, "matrix={fmin: [0, 50]}")); // each clip is read twice
    open_run(STAGE_EXTRACT);
    mistaken[0] = "fan/test/b"; // fan/test/a is smaller, and the one that is compared
    mistake_at = look;
    CHECK_OK(run_to_end());
    CHECK_INT(looks, 2);
    CHECK(has_warning("fan/test/b.npy: a worker read other bytes than are here; it is used"));
    Digest digest = plan_clip_state(plan, 1, clip_called("fan/test/b.npy"))->digest;
    CHECK(digest_equal(digest, digest_of_file("fan/test/b.npy")));
    end();
}

TEST(where_two_workers_contradict_each_other_the_coordinator_looks_itself) {
    check_mistake_at(0);
    check_mistake_at(1);
}

TEST(an_answer_that_cannot_be_is_not_taken) {
    begin();
    put_npy("fan/train/a.npy", 12, 1);
    open_run(STAGE_REPORT);
    const Digest digest = digest_of_file("fan/train/a.npy");
    const ProbeAnswer sound = {.frames = 32,
                               .vectors = 30,
                               .rate_hz = 16000,
                               .channels = 2,
                               .seconds = 16000.0 / 16000,
                               .digest = digest,
                               .reason = ""};
    const ProbeAnswer log_mel = {
        .frames = 12, .vectors = 10, .channels = 1, .digest = digest, .reason = ""};
    CHECK_OK(offer_probe(&sound, 1));
    CHECK_OK(offer_probe(&log_mel, 1));
    CHECK(offer_probe(&sound, 2) == STATUS_FORMAT);
    CHECK_HAS(status_message(), "2 clips answered of 1");
    struct {
        ProbeAnswer answer;
        const char *part;
    } rows[] = {{sound, "vectors"},    {sound, "vectors"}, {sound, "rate"},   {sound, "channels"},
                {sound, "channels"},   {sound, "length"},  {sound, "length"}, {log_mel, "length"},
                {log_mel, "channels"}, {sound, "reason"}};
    rows[0].answer.vectors = 31;
    rows[1].answer.frames = rows[1].answer.vectors = 0;
    rows[2].answer.rate_hz = LIMIT_RATE_HZ + 1;
    rows[3].answer.channels = 0;
    rows[4].answer.channels = LIMIT_CHANNELS + 1;
    rows[5].answer.seconds = 2; // twice as many frames
    rows[6].answer.seconds = -1;
    rows[7].answer.seconds = 1; // without a rate
    rows[8].answer.channels = 2;
    rows[9].answer.outcome = CLIP_LEFT_OUT;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK(offer_probe(&rows[i].answer, 1) == STATUS_FORMAT);
        CHECK_HAS(status_message(), rows[i].part);
    }
    end();
}

TEST(a_score_below_zero_or_of_other_clips_is_not_taken) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT); // tasks 0 and 1: its training clips' scores, its test clips'
    CoreHooks hooks = plan_hooks(plan);
    double row[LIMIT_MELS] = {0}, bad_row[LIMIT_MELS] = {0, NAN};
    size_t bytes = (size_t)settings.n_mels * sizeof *row;
    struct {
        ScoreAnswer answer;
        uint32_t count;
        Status expected;
    } rows[] = {{{CLIP_USABLE, 1.5, 0, row, bytes, ""}, 2, STATUS_OK},
                {{CLIP_USABLE, 1.5, 0, row, bytes, ""}, 1, STATUS_FORMAT},
                {{CLIP_USABLE, -1.5, 0, row, bytes, ""}, 2, STATUS_FORMAT},
                {{CLIP_USABLE, 1.5, 0, row, bytes - 8, ""}, 2, STATUS_FORMAT},
                {{CLIP_USABLE, 1.5, 0, bad_row, bytes, ""}, 2, STATUS_FORMAT},
                {{CLIP_LEFT_OUT, 0, 0, row, 0, "no samples"}, 2, STATUS_OK},
                {{CLIP_LEFT_OUT, 0, 0, row, 0, ""}, 2, STATUS_FORMAT},
                {{CLIP_UNREADABLE, 0, 0, row, 0, "away"}, 2, STATUS_FORMAT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Buffer body = BUFFER_EMPTY;
        ScoreAnswer answers[] = {rows[i].answer, rows[i].answer};
        body_encode_score_answers(answers, rows[i].count, &body);
        CHECK_INT(hooks.take_answer(hooks.context, 1, (CoreShare){0, 0}, body.bytes, body.size),
                  rows[i].expected);
        buffer_done(&body);
    }
    end();
}

// ---- scores of other kinds ----

static void set_all(const char *const *assignments) {
    for (; *assignments != NULL; assignments++) {
        CHECK_OK(settings_assign(&settings, *assignments));
    }
}

static void run_once(void) {
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    check_counts();
}

static const char *const MAHALA_BY_BATCHES[] = {"score=MAHALA", "threshold=gamma_batch", NULL};

// Of a worker that was slow, or says it twice: the model is measured, and nothing is held for it.
TEST(an_answer_about_a_shard_may_come_again_when_all_is_measured) {
    begin();
    put_machine("fan", 40);
    set_all(MAHALA_BY_BATCHES);
    run_once();
    CHECK(last_shard.kind == TASK_BATCHES && last_shard_body.size > 0);
    say_result(&last_shard, RESULT_DONE, &last_shard_body);
    CHECK_OK(run_to_end());
    double score = result_of("fan/test/a.npy").score;
    say_result(&last_shard, RESULT_DONE, &last_shard_body);
    CHECK(result_of("fan/test/a.npy").score == score);
    buffer_done(&last_shard_body);
    end();
}

TEST(another_score_measures_only_what_it_needs_more) {
    begin();
    put_machine("fan", 40);
    run_once();
    double mse = result_of("fan/test/a.npy").score;
    close_run();
    set_all((const char *const[]){"score=CLIPMAHALA", NULL});
    run_once(); // from the measures that there are
    CHECK_INT(given[TASK_PROBE] + given[TASK_TRAIN] + given[TASK_SCORE] + given[TASK_RESIDUALS], 0);
    double clip_mahala = result_of("fan/test/a.npy").score;
    close_run();
    set_all(MAHALA_BY_BATCHES);
    run_once();
    CHECK_INT(given[TASK_PROBE] + given[TASK_TRAIN] + given[TASK_SCORE], 0);
    CHECK_INT(given[TASK_RESIDUALS], settings.shards);
    CHECK_INT(given[TASK_BATCHES], settings.shards);
    double mahala = result_of("fan/test/a.npy").score;
    CHECK(mse > 0 && mahala > 0 && clip_mahala > 0 && mahala != mse && mahala != clip_mahala);
    close_run();
    set_all((const char *const[]){"mahala=paper", "threshold=gamma_clip", NULL});
    run_once(); // every row's distance from the precisions that there are
    CHECK_INT(given[TASK_RESIDUALS] + given[TASK_BATCHES], 0);
    CHECK(given[TASK_SCORE] >= 2);
    CHECK(result_of("fan/test/a.npy").score > mahala); // a mean of squares, not a square of means
    close_run();
    set_all((const char *const[]){"score=MSE", NULL});
    run_once();
    CHECK_INT(given[TASK_SCORE], 0);
    CHECK(result_of("fan/test/a.npy").score == mse);
    end();
}

TEST(batches_are_as_many_as_an_epoch_has) {
    begin();
    put_machine("fan", 40);
    set_all(MAHALA_BY_BATCHES);
    set_all((const char *const[]){"shards=1", NULL});
    run_once();
    const BatchValues *batches = model_called("fan")->batches;
    CHECK(batches[SCORE_MSE].count > 10);
    CHECK_INT(batches[SCORE_MAHALA].count, batches[SCORE_MSE].count);
    for (size_t i = 0; i < batches[SCORE_MAHALA].count; i++) {
        CHECK(batches[SCORE_MSE].values[i] > 0 && batches[SCORE_MAHALA].values[i] > 0);
    }
    end();
}

TEST(scores_of_every_kind_are_the_same_wherever_the_run_was_stopped) {
    static const char *const KINDS[][4] = {{"score=MAHALA", "threshold=gamma_batch", NULL},
                                           {"score=MAHALA", "mahala=paper", "compat=true", NULL},
                                           {"score=CLIPMAHALA", "mahala=code", NULL}};
    begin();
    put_machine("fan", 12);
    for (size_t k = 0; k < sizeof KINDS / sizeof KINDS[0]; k++) {
        set_all(KINDS[k]);
        CHECK_OK(file_remove_tree(run_folder));
        CHECK_OK(file_make_folders(run_folder));
        run_once();
        Digest expected = digest_of_all();
        close_run();
        for (int turns = 1; turns < 12; turns += 2) {
            CHECK_OK(file_remove_tree(run_folder));
            CHECK_OK(file_make_folders(run_folder));
            for (int life = 0; life < 3; life++) {
                open_run(STAGE_REPORT);
                join();
                for (int i = 0; i < turns && !plan_is_over(plan); i++) {
                    CHECK_OK(turn());
                }
                close_run();
            }
            run_once();
            CHECK(digest_equal(digest_of_all(), expected));
            close_run();
        }
    }
    open_run(STAGE_REPORT);
    end();
}

TEST(a_clip_that_vanished_after_the_training_costs_mahala_and_nothing_else) {
    begin();
    put_machine("fan", 12);
    put_machine("pump", 12);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    close_run();
    set_all((const char *const[]){"score=MAHALA", NULL});
    open_run(STAGE_REPORT); // its tasks are there before the clip goes
    CHECK_OK(remove(full_path("fan/train/normal_0003.npy")));
    CHECK_OK(run_to_end());
    CHECK_HAS(left_out("fan/test/a.npy"), "normal_0003.npy");
    CHECK(has_warning("fan: no MAHALA scores: "));
    CHECK(result_of("pump/test/a.npy").is_scored && !result_of("fan/test/a.npy").is_scored);
    close_run();
    put_npy("fan/train/normal_0003.npy", 13, 3); // it is back
    run_once();
    CHECK(result_of("fan/test/a.npy").is_scored);
    end();
}

TEST(sums_of_a_shard_that_cannot_be_are_not_taken) {
    begin();
    put_machine("fan", 12);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    close_run();
    set_all(MAHALA_BY_BATCHES);
    open_run(STAGE_REPORT); // tasks 0 to 3: RESIDUALS of the shards
    CoreHooks hooks = plan_hooks(plan);
    ResidualSums *sums = residual_sums_new(4, false);
    size_t size;
    const void *bytes = residual_sums_bytes(sums, &size);
    struct {
        ResidualsAnswer answer;
        const char *part;
    } rows[] = {{{bytes, bytes, size, size}, "number of vectors"},
                {{bytes, bytes, size - 8, size}, "bytes"},
                {{bytes, bytes, size, 0}, "bytes"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Buffer body = BUFFER_EMPTY;
        body_encode_residuals_answer(&rows[i].answer, &body);
        CHECK_INT(hooks.take_answer(hooks.context, 0, (CoreShare){0, 0}, body.bytes, body.size),
                  STATUS_FORMAT);
        CHECK_HAS(status_message(), rows[i].part);
        buffer_done(&body);
    }
    residual_sums_free(sums);
    end();
}

// ---- poison ----

TEST(a_clip_that_kills_workers_is_found_and_left_out_alone) {
    begin();
    put_machine("fan", 40);
    open_run(STAGE_REPORT);
    deadly[0] = "fan/train/normal_0017";
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_TEXT(left_out("fan/train/normal_0017.npy"), "workers died on it");
    CHECK(has_warning("workers died on fan/train/normal_0017.npy"));
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        bool is_it = strstr(dataset->clips[c].path, "normal_0017") != NULL;
        CHECK(plan_clip_result(plan, 0, c).is_scored == !is_it);
    }
    // It is not written down: the next coordinator tries again, and now it does no harm.
    close_run();
    deadly[0] = NULL;
    may_redo = true; // the model that it had no part in
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_TEXT(left_out("fan/train/normal_0017.npy"), "");
    CHECK(result_of("fan/train/normal_0017.npy").is_scored);
    check_counts();
    end();
}

TEST(what_workers_died_on_is_known_to_the_next_coordinator) {
    begin();
    put_machine("fan", 40);
    open_run(STAGE_EXTRACT);
    deadly[0] = "fan/train/normal_0017";
    join();
    while (deaths_of_many < 2) {
        CHECK_OK(turn());
    }
    close_run();
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK_INT(deaths_of_many, 3);
    end();
}

TEST(a_clip_that_kills_workers_when_scored_is_left_out_alone) {
    begin();
    put_machine("fan", 5);
    open_run(STAGE_TRAIN);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    deadly[0] = "fan/test/b";
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_TEXT(left_out("fan/test/b.npy"), "workers died on it");
    CHECK(!result_of("fan/test/b.npy").is_scored);
    CHECK(result_of("fan/test/a.npy").is_scored);
    CHECK(model_called("fan")->is_scored);
    end();
}

// ---- pictures ----

// A machine of labelled test clips, the more unlike its training clips the higher their number.
static void put_labelled(const char *name, int normal, int anomalies) {
    char path[300];
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%s/train/section_00_source_train_normal_%04d.npy", name, i);
        put_npy(path, 10 + i, (uint64_t)i);
    }
    for (int i = 0; i < normal + anomalies; i++) {
        snprintf(path, sizeof path, "%s/test/section_00_source_test_%s_%04d.npy", name,
                 i < normal ? "normal" : "anomaly", i);
        put_npy(path, 10 + i, (uint64_t)(100 + i));
    }
}

static void begin_with_pictures(void) {
    begin();
    CHECK_OK(settings_assign(&settings, "pictures=true"));
    put_labelled("fan", 5, 4);
    put_labelled("pump", 1, 0);
}

static Digest digest_of_pictures(uint32_t *ret_made) {
    DigestStream *stream = digest_begin();
    const ClipPortrait **items;
    uint32_t count;
    *ret_made = 0;
    CHECK_OK(plan_portraits(plan, &items, &count));
    for (uint32_t i = 0; i < count; i++) {
        digest_add_text(stream, dataset->clips[items[i]->clip].path);
        digest_add_u64(stream, (uint64_t)items[i]->role << 32 | items[i]->rank);
        digest_add(stream, &items[i]->score, sizeof items[i]->score);
        if (items[i]->is_there) {
            const Portrait *picture = &items[i]->picture;
            digest_add(stream, picture->values, portrait_count(picture) * sizeof(float));
            ++*ret_made;
        }
    }
    mem_free(items);
    return digest_end(stream);
}

TEST(a_run_ends_with_pictures_of_the_clips_that_scored_highest_and_lowest) {
    begin_with_pictures();
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    check_counts();
    CHECK_INT(given[TASK_PORTRAIT], 7); // 2 + 1 of each label, and the pump's only clip
    const ClipPortrait **items;
    uint32_t count;
    CHECK_OK(plan_portraits(plan, &items, &count));
    CHECK_INT(count, 7);
    for (uint32_t i = 0; i < 6; i++) {
        const ClipPortrait *item = items[i];
        CHECK(item->is_there && item->picture.has_residual);
        CHECK_INT(item->picture.mel_rows, 4);
        CHECK_INT(item->label, i < 3 ? LABEL_NORMAL : LABEL_ANOMALY);
        CHECK_INT(item->role, i % 3 < 2 ? PORTRAIT_HIGHEST : PORTRAIT_LOWEST);
        CHECK_INT(item->rank, i % 3 % 2);
        CHECK_NEAR(item->score, plan_clip_result(plan, 0, item->clip).score, 0);
        for (uint32_t c = 0; c < dataset->clip_count; c++) {
            const Clip *clip = &dataset->clips[c];
            double score = plan_clip_result(plan, 0, c).score;
            if (clip->machine == 0 && clip->split == SPLIT_TEST && clip->label == item->label) {
                CHECK(i % 3 != 0 || score <= item->score);
                CHECK(i % 3 != 2 || score >= item->score);
            }
        }
    }
    CHECK_INT(items[6]->role, PORTRAIT_HIGHEST);
    mem_free(items);
    uint32_t made;
    Digest first = digest_of_pictures(&made);
    close_run();
    open_run(STAGE_REPORT); // finds them in the journal
    CHECK(plan_is_over(plan));
    CHECK(digest_equal(digest_of_pictures(&made), first));
    CHECK_INT(made, 7);
    end();
}

TEST(no_pictures_are_made_where_none_are_wanted_and_later_they_can_be_had) {
    begin_with_pictures();
    CHECK_OK(settings_assign(&settings, "pictures=false"));
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_PORTRAIT], 0);
    close_run();
    CHECK_OK(settings_assign(&settings, "pictures=true"));
    open_run(STAGE_SCORE); // not for a stage before the report
    CHECK(plan_is_over(plan));
    close_run();
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_PORTRAIT], 7);
    CHECK_INT(given[TASK_PROBE] + given[TASK_TRAIN] + given[TASK_SCORE], 0);
    end();
}

TEST(pictures_are_the_same_wherever_the_run_was_stopped) {
    begin_with_pictures();
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    uint32_t made;
    Digest expected = digest_of_pictures(&made);
    close_run();
    for (int turns = 1; turns < 9; turns++) {
        CHECK_OK(file_remove_tree(run_folder));
        CHECK_OK(file_make_folders(run_folder));
        for (int life = 0; life < 4; life++) {
            open_run(STAGE_REPORT);
            join();
            for (int i = 0; i < turns && !plan_is_over(plan); i++) {
                CHECK_OK(turn());
            }
            close_run();
        }
        open_run(STAGE_REPORT);
        CHECK_OK(run_to_end());
        CHECK(digest_equal(digest_of_pictures(&made), expected));
        CHECK_INT(made, 7);
        close_run();
    }
    open_run(STAGE_REPORT);
    end();
}

TEST(of_many_models_the_first_have_pictures) {
    enum { MACHINES = LIMIT_PORTRAITS / 9 + 2 };
    begin();
    CHECK_OK(settings_assign(&settings, "pictures=true"));
    CHECK_OK(settings_assign(&settings, "epochs=1"));
    for (int i = 0; i < MACHINES; i++) {
        char path[300];
        snprintf(path, sizeof path, "m%03d/train/section_00_source_train_normal_0000.npy", i);
        put_npy(path, 40, (uint64_t)i);
        snprintf(path, sizeof path, "m%03d/test/section_00_source_test_normal_0000.npy", i);
        put_npy(path, 12, (uint64_t)i);
    }
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_PORTRAIT], MACHINES - 2);
    CHECK(has_warning("pictures of the first 64 models only, of 66"));
    const ClipPortrait **items;
    uint32_t count;
    CHECK_OK(plan_portraits(plan, &items, &count));
    CHECK_INT(count, MACHINES - 2);
    CHECK_INT(items[count - 1]->model, MACHINES - 3);
    mem_free(items);
    end();
}

TEST(a_picture_that_no_worker_can_make_is_made_here) {
    begin_with_pictures();
    open_run(STAGE_SCORE);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    unreadable[0] = "pump/test";
    CHECK_OK(run_to_end());
    uint32_t made;
    digest_of_pictures(&made);
    CHECK_INT(made, 7);
    CHECK_HAS(buffer_cstr(&said), "the picture of pump/test/section_00_source_test_normal_0000");
    end();
}

TEST(a_clip_that_vanished_costs_its_picture_and_nothing_else) {
    begin_with_pictures();
    open_run(STAGE_SCORE);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    const char *path = "pump/test/section_00_source_test_normal_0000.npy";
    open_run(STAGE_REPORT);
    CHECK_INT(unlink(full_path(path)), 0);
    CHECK_OK(run_to_end());
    uint32_t made;
    digest_of_pictures(&made);
    CHECK_INT(made, 6);
    CHECK(has_warning("no picture of pump/test/section_00_source_test_normal_0000.npy"));
    CHECK(digest_equal(digest_of_all(), expected));
    end();
}

TEST(a_picture_that_kills_workers_is_done_without) {
    begin_with_pictures();
    open_run(STAGE_SCORE);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    deadly[0] = "pump/test";
    CHECK_OK(run_to_end());
    uint32_t made;
    digest_of_pictures(&made);
    CHECK_INT(made, 6);
    CHECK(has_warning("normal_0000.npy: workers died on it"));
    close_run();
    deadly[0] = NULL;
    open_run(STAGE_REPORT); // it is not written down
    CHECK_OK(run_to_end());
    digest_of_pictures(&made);
    CHECK_INT(made, 7);
    end();
}

TEST(a_picture_that_cannot_be_is_not_taken) {
    begin_with_pictures();
    open_run(STAGE_SCORE);
    CHECK_OK(run_to_end());
    close_run();
    open_run(STAGE_REPORT);
    uint32_t made;
    wrong_pictures = 2;
    CHECK_OK(run_to_end());
    digest_of_pictures(&made);
    CHECK_INT(made, 7);
    CHECK_INT(wrong_pictures, 0);
    CHECK(given[TASK_PORTRAIT] > 7);
    end();
}

// ---- eda ----

static void begin_eda(void) {
    begin_with_pictures();
    for (int i = 0; i < 40; i++) {
        char path[300];
        snprintf(path, sizeof path, "valve/train/normal_%04d.wav", i);
        put_wav(path, i == 7 ? 22050 : 16000);
    }
    put("valve/train/broken.wav", "RIFF", 4);
    put_npy("valve/test/section_00_source_test_anomaly_0000.npy", 20, 9);
    explores = true;
}

static Digest digest_of_exploration(void) {
    const ExploreSummary *summary = plan_summary(plan);
    CHECK(summary != NULL);
    DigestStream *stream = digest_begin();
    uint32_t made;
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        const Exploration *found = &summary->explorations[c];
        digest_add(stream, found->numbers, sizeof found->numbers);
        digest_add(stream, found->mean, 2 * (size_t)found->n_mels * sizeof(double));
        digest_add(stream, &summary->points[c].x, 2 * sizeof(double));
    }
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        digest_add_u64(stream, summary->suspicious[i].clip);
        digest_add_text(stream, summary->suspicious[i].reason);
    }
    Digest pictures = digest_of_pictures(&made);
    digest_add(stream, pictures.bytes, sizeof pictures.bytes);
    return digest_end(stream);
}

TEST(eda_explores_every_clip_that_decodes_and_trains_nothing) {
    begin_eda();
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK(given[TASK_EXPLORE] > 0 && given[TASK_TRAIN] + given[TASK_SCORE] == 0);
    const ExploreSummary *summary = plan_summary(plan);
    CHECK(summary != NULL);
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        bool is_broken = strstr(dataset->clips[c].path, "broken") != NULL;
        CHECK_INT(summary->explorations[c].n_mels, is_broken ? 0 : 4);
    }
    CHECK_HAS(left_out("valve/train/broken.wav"), "not a sound file");
    // The clip of another rate is explored too, and named.
    CHECK_INT(summary->suspicious_count > 0, 1);
    bool is_named = false;
    for (uint32_t i = 0; i < summary->suspicious_count; i++) {
        const SuspiciousClip *odd = &summary->suspicious[i];
        is_named = is_named || (odd->suspicion == SUSPICION_RATE &&
                                odd->clip == clip_called("valve/train/normal_0007.wav"));
    }
    CHECK(is_named);
    // Typical clips: source normals and anomalies of three machines, the pump without the latter;
    // of the valve's training clips the domain is not known.
    CHECK_INT(given[TASK_PORTRAIT], summary->typical_count);
    CHECK(summary->typical_count >= 4);
    const ClipPortrait **items;
    uint32_t count;
    CHECK_OK(plan_portraits(plan, &items, &count));
    CHECK_INT(count, summary->typical_count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(items[i]->is_there && !items[i]->picture.has_residual);
        CHECK_INT(items[i]->role, PORTRAIT_TYPICAL);
    }
    mem_free(items);
    Digest first = digest_of_exploration();
    close_run();
    open_run(STAGE_EXTRACT);
    CHECK(plan_is_over(plan)); // all of it is in the journal
    CHECK(digest_equal(digest_of_exploration(), first));
    end();
}

TEST(an_eda_stopped_anywhere_ends_alike) {
    begin_eda();
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_exploration();
    close_run();
    for (int turns = 1; turns < 7; turns++) {
        CHECK_OK(file_remove_tree(run_folder));
        CHECK_OK(file_make_folders(run_folder));
        for (int life = 0; life < 3; life++) {
            open_run(STAGE_EXTRACT);
            join();
            for (int i = 0; i < turns && !plan_is_over(plan); i++) {
                CHECK_OK(turn());
            }
            close_run();
        }
        open_run(STAGE_EXTRACT);
        CHECK_OK(run_to_end());
        CHECK(digest_equal(digest_of_exploration(), expected));
        close_run();
    }
    open_run(STAGE_EXTRACT);
    end();
}

TEST(an_exploration_that_cannot_be_is_not_taken) {
    begin_eda();
    open_run(STAGE_EXTRACT);
    wrong_explorations = 2;
    CHECK_OK(run_to_end());
    CHECK_INT(wrong_explorations, 0);
    for (uint32_t c = 0; c < dataset->clip_count; c++) {
        const Exploration *found = &plan_summary(plan)->explorations[c];
        CHECK(found->n_mels == 0 || isfinite(found->mean[0]));
    }
    end();
}

TEST(what_could_not_be_explored_is_looked_at_again_when_asked) {
    begin_eda();
    open_run(STAGE_EXTRACT);
    refuses_explorations = true;
    CHECK_OK(run_to_end());
    CHECK_TEXT(left_out("valve/train/normal_0001.wav"), "too loud");
    close_run();
    refuses_explorations = false;
    open_run(STAGE_EXTRACT);
    CHECK(plan_is_over(plan)); // it is a fact of the data
    CHECK_TEXT(left_out("valve/train/normal_0001.wav"), "too loud");
    close_run();
    retries = true;
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK_TEXT(left_out("valve/train/normal_0001.wav"), "");
    CHECK_INT(plan_summary(plan)->explorations[clip_called("valve/train/normal_0001.wav")].n_mels,
              4);
    end();
}

TEST(a_clip_that_vanished_is_left_out_of_what_is_explored) {
    begin_eda();
    explores = false;
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    uint64_t left_out_before = plan_counts(plan).clips_left_out;
    close_run();
    explores = true;
    open_run(STAGE_EXTRACT);
    const char *path = "pump/test/section_00_source_test_normal_0000.npy";
    CHECK_INT(unlink(full_path(path)), 0);
    CHECK_OK(run_to_end());
    CHECK_INT(plan_summary(plan)->explorations[clip_called(path)].n_mels, 0);
    CHECK_INT(plan_counts(plan).clips_left_out, left_out_before + 1);
    end();
}

TEST(what_eda_explored_leaves_a_run_as_it_is) {
    begin_eda();
    explores = false;
    open_run(STAGE_REPORT);
    CHECK_OK(run_to_end());
    Digest expected = digest_of_all();
    close_run();
    explores = true;
    open_run(STAGE_EXTRACT); // of a finished run
    CHECK_OK(run_to_end());
    CHECK_INT(given[TASK_PROBE], 0);
    close_run();
    explores = false;
    open_run(STAGE_REPORT);
    CHECK(plan_is_over(plan));
    CHECK(digest_equal(digest_of_all(), expected));
    end();
}

TEST(a_clip_that_kills_workers_when_explored_is_explored_no_more) {
    begin_eda();
    explores = false;
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    close_run();
    explores = true;
    open_run(STAGE_EXTRACT);
    deadly[0] = "valve/train/normal_0011";
    CHECK_OK(run_to_end());
    const ExploreSummary *summary = plan_summary(plan);
    CHECK_INT(summary->explorations[clip_called("valve/train/normal_0011.wav")].n_mels, 0);
    CHECK_INT(summary->explorations[clip_called("valve/train/normal_0012.wav")].n_mels, 4);
    CHECK(has_warning("workers died on valve/train/normal_0011.wav"));
    end();
}

TEST(what_no_worker_can_explore_is_explored_here) {
    begin_eda();
    explores = false;
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    close_run();
    explores = true;
    open_run(STAGE_EXTRACT);
    unreadable[0] = "fan/train";
    CHECK_OK(run_to_end());
    Digest here = digest_of_exploration();
    CHECK_HAS(buffer_cstr(&said), "fan/train/");
    close_run();
    unreadable[0] = NULL;
    CHECK_OK(file_remove_tree(run_folder));
    CHECK_OK(file_make_folders(run_folder));
    open_run(STAGE_EXTRACT);
    CHECK_OK(run_to_end());
    CHECK(digest_equal(digest_of_exploration(), here));
    end();
}

TEST(a_run_frees_all_it_had_wherever_it_ends) {
    begin_with_pictures();
    put_machine("valve", 40);
    long before = mem_blocks();
    for (int turns = 0; turns < 12; turns++) {
        open_run(STAGE_REPORT);
        join();
        for (int i = 0; i < turns && !plan_is_over(plan); i++) {
            CHECK_OK(turn());
        }
        close_run();
        CHECK_INT(mem_blocks(), before);
    }
    file_remove_tree(folder);
}

static const TestCase CASES[] = {
    // clang-format off
    T(a_run_probes_trains_and_scores_every_clip)
    T(a_worker_trains_one_model_to_its_end_before_the_next)
    T(a_run_may_end_after_each_stage_and_goes_on_from_there)
    T(a_finished_run_gives_no_task_again)
    T(a_run_stopped_anywhere_ends_alike)
    T(of_a_damaged_checkpoint_the_older_one_is_used_and_of_two_none)
    T(a_clip_that_comes_or_goes_costs_the_task_that_it_is_in)
    T(a_training_of_more_epochs_goes_on_and_gives_the_bits_of_one_begun_so)
    T(a_training_is_found_where_it_stands_when_folders_are_called_otherwise)
    T(systems_with_the_same_features_read_each_clip_once_and_others_read_it_again)
    T(other_arithmetic_shares_no_answer)
    T(a_seed_added_to_a_run_trains_its_models_and_nothing_else)
    T(a_seed_whose_training_diverges_leaves_the_others_alone)
    T(a_model_that_other_data_have_trained_is_not_overwritten_unasked)
    T(what_was_left_out_is_looked_at_again_when_asked_for)
    T(the_rate_of_most_clips_is_the_machines)
    T(on_a_tie_the_training_clips_rate_decides_and_then_the_lower)
    T(training_clips_left_out_keep_the_index_of_the_others)
    T(anomalies_among_training_clips_are_not_trained_on)
    T(a_machine_without_training_clips_has_no_model_and_says_so)
    T(silent_clips_are_used_and_warned_of)
    T(what_a_worker_cannot_read_and_the_coordinator_can_is_used)
    T(what_the_coordinator_cannot_use_either_is_left_out_in_the_same_words)
    T(a_clip_that_vanished_after_the_scan_is_left_out)
    T(what_could_not_be_read_is_tried_again_when_the_run_is_continued)
    T(what_could_not_be_scored_is_tried_again_when_the_run_is_continued)
    T(a_training_clip_that_vanished_after_probing_is_left_out_of_the_training)
    T(a_training_clip_may_vanish_whatever_the_seeds_are_doing)
    T(a_training_that_loses_all_its_clips_fails_alone)
    T(a_training_waits_for_a_worker_that_can_read_its_clips)
    T(a_training_clip_that_local_workers_cannot_read_ends_the_run_with_its_name)
    T(a_training_that_diverges_fails_alone)
    T(an_answer_about_other_bytes_than_are_here_is_not_taken) T(answers_of_local_workers_are_not_compared) T(where_two_workers_contradict_each_other_the_coordinator_looks_itself) T(an_answer_that_cannot_be_is_not_taken)
    T(a_score_below_zero_or_of_other_clips_is_not_taken)
    T(an_answer_about_a_shard_may_come_again_when_all_is_measured)
 T(another_score_measures_only_what_it_needs_more)
    T(batches_are_as_many_as_an_epoch_has)
    T(scores_of_every_kind_are_the_same_wherever_the_run_was_stopped)
    T(a_clip_that_vanished_after_the_training_costs_mahala_and_nothing_else)
    T(sums_of_a_shard_that_cannot_be_are_not_taken)
    T(a_clip_that_kills_workers_is_found_and_left_out_alone)
    T(what_workers_died_on_is_known_to_the_next_coordinator)
    T(a_clip_that_kills_workers_when_scored_is_left_out_alone)
    T(a_run_ends_with_pictures_of_the_clips_that_scored_highest_and_lowest)
    T(no_pictures_are_made_where_none_are_wanted_and_later_they_can_be_had)
    T(pictures_are_the_same_wherever_the_run_was_stopped)
    T(of_many_models_the_first_have_pictures)
    T(a_picture_that_no_worker_can_make_is_made_here)
    T(a_clip_that_vanished_costs_its_picture_and_nothing_else)
    T(a_picture_that_kills_workers_is_done_without)
    T(a_picture_that_cannot_be_is_not_taken)
    T(eda_explores_every_clip_that_decodes_and_trains_nothing)
    T(an_eda_stopped_anywhere_ends_alike)
    T(an_exploration_that_cannot_be_is_not_taken)
    T(what_could_not_be_explored_is_looked_at_again_when_asked)
    T(a_clip_that_vanished_is_left_out_of_what_is_explored)
    T(what_eda_explored_leaves_a_run_as_it_is)
    T(a_clip_that_kills_workers_when_explored_is_explored_no_more)
    T(what_no_worker_can_explore_is_explored_here)
    T(a_run_frees_all_it_had_wherever_it_ends)
    {NULL, NULL}};
// clang-format on

int main(int argc, char **argv) {
    if (linalg_start(KERNEL_AUTO, argv) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    return test_run_all(CASES, argc, argv);
}
