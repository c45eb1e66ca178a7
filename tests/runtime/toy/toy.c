// A trainer without a compiler: the descriptor and the entry points that netc would write, by hand, for
//
//     hyper lr = 0.1
//     hyper lambda = 1e-3
//     hyper units = 3                                     # structural
//     data toy { read idx("toy-set") -> pixels: [1, 4, 4], label: class(3)
//                split validation = 30 of train
//                image = standardize(pixels) }
//     network Toy(image: [1, 4, 4]) -> [3] { image |> flatten |> dense(3) }   # and a state that counts its steps
//     train toy { minimize cross_entropy(softmax(Toy(image)), label) + lambda * l2(Toy.*.W) using momentum(lr)
//                 measure accuracy = ..  predict class = .., probability = .., scores = ..
//                 batch 16  epochs 5  report test.accuracy  stop if stalled(validation.loss, 3) }
//
// From the environment: TOY_NAN=STEP makes the scores of that step not finite, TOY_INF=K what the K-th update of the
// process makes, TOY_SIGNAL="STEP NUMBER" sends the process that signal in that step.
#include "netrt.h"

#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 16, UNITS = 3, BATCH = 16 };

static const int64_t image_shape[] = {1, 4, 4}, batch_image[] = {-1, 1, 4, 4}, batch_only[] = {-1}, batch_scores[] = {-1, UNITS};
static const int64_t weight_shape[] = {UNITS, PIXELS}, bias_shape[] = {UNITS}, flat_shape[] = {UNITS * PIXELS + UNITS};

// ---- entries: slots are inputs, outputs, arena, context
static void fit(void *const *slot, int64_t n) {
    const uint8_t *pixels = slot[0];
    float *mean = slot[1], *deviation = slot[2];
    double sum = 0, squares = 0, count = (double)(n * PIXELS);
    for (int64_t i = 0; i < n * PIXELS; i++)
        sum += pixels[i];
    for (int64_t i = 0; i < n * PIXELS; i++)
        squares += (pixels[i] - sum / count) * (pixels[i] - sum / count);
    *mean = (float)(sum / count);
    *deviation = (float)sqrt(squares / count);
}

static void prepare(void *const *slot, int64_t n) {
    const uint8_t *pixels = slot[0];
    const float *mean = slot[1], *deviation = slot[2];
    float *image = slot[3];
    for (int64_t i = 0; i < n * PIXELS; i++)
        image[i] = ((float)pixels[i] - *mean) / *deviation;
}

static void init(void *const *slot, int64_t n) {
    uint64_t x = (uint64_t)*(const int64_t *)slot[0] * 0x9E3779B97F4A7C15u + 1;
    float *w = slot[1], *b = slot[2], *count = slot[3];
    (void)n;
    for (int i = 0; i < UNITS * PIXELS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        w[i] = ((float)(x >> 40) / 16777216.0f - 0.5f) * 0.5f;
    }
    for (int i = 0; i < UNITS; i++)
        b[i] = 0;
    *count = 0;
}

static void score(const float *image, const float *w, const float *b, float *scores, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
        for (int k = 0; k < UNITS; k++) {
            float s = b[k];
            for (int p = 0; p < PIXELS; p++)
                s += w[k * PIXELS + p] * image[i * PIXELS + p];
            scores[i * UNITS + k] = s;
        }
}
static void score_body(void *const *c, int64_t begin, int64_t end) { score(c[0], c[1], c[2], c[3], begin, end); }

// Scores and probabilities of n samples; returns the mean cross-entropy and the fraction that is right.
static double forward(const float *image, const float *w, const float *b, const int32_t *label, float *scores, float *softmax, int64_t n, double *right) {
    double loss = 0, hits = 0;
    nr_parallel(score_body, (void *const[]){(void *)image, (void *)w, (void *)b, scores}, n, 4);
    for (int64_t i = 0; i < n; i++) {
        const float *s = scores + i * UNITS;
        float most = fmaxf(s[0], fmaxf(s[1], s[2])), sum = 0;
        int best = s[0] == most ? 0 : s[1] == most ? 1 : 2;
        for (int k = 0; k < UNITS; k++)
            sum += softmax[i * UNITS + k] = expf(s[k] - most);
        for (int k = 0; k < UNITS; k++)
            softmax[i * UNITS + k] /= sum;
        if (label) {
            loss += (double)(most + logf(sum) - s[label[i]]);
            hits += best == label[i];
        }
    }
    if (right)
        *right = hits / (double)n;
    return loss / (double)n;
}

static double penalty(const float *w, double lambda) {
    double sum = 0;
    for (int i = 0; i < UNITS * PIXELS; i++)
        sum += (double)w[i] * (double)w[i];
    return lambda * sum;
}

// 0 image 1 label 2 W 3 b 4 count 5 lambda 6 step | loss dW db count accuracy scores | arena
static void gradient_step(void *const *slot, int64_t n) {
    const float *image = slot[0], *w = slot[2], *b = slot[3], *count = slot[4];
    const int32_t *label = slot[1];
    double lambda = *(const double *)slot[5], step = *(const double *)slot[6];
    float *loss = slot[7], *dw = slot[8], *db = slot[9], *next = slot[10], *scores = slot[12], *softmax = slot[13];
    const char *bad = getenv("TOY_NAN"), *stop = getenv("TOY_SIGNAL");
    int at, number;
    if (stop && sscanf(stop, "%d %d", &at, &number) == 2 && at == step + 1)
        raise(number);
    *loss = (float)(forward(image, w, b, label, scores, softmax, n, slot[11]) + penalty(w, lambda));
    if (bad && atof(bad) == step + 1)
        *loss = NAN;
    for (int k = 0; k < UNITS; k++) {
        db[k] = 0;
        for (int p = 0; p < PIXELS; p++)
            dw[k * PIXELS + p] = (float)(2 * lambda) * w[k * PIXELS + p];
        for (int64_t i = 0; i < n; i++) {
            float d = (softmax[i * UNITS + k] - (label[i] == k ? 1.0f : 0.0f)) / (float)n;
            db[k] += d;
            for (int p = 0; p < PIXELS; p++)
                dw[k * PIXELS + p] += d * image[i * PIXELS + p];
        }
    }
    *next = *count + 1;
}

// theta, slope, v, lr -> theta, v
static void update(void *const *slot, int64_t n) {
    const float *theta = slot[0], *slope = slot[1], *v = slot[2];
    double lr = *(const double *)slot[3];
    float *theta_next = slot[4], *v_next = slot[5];
    static int updates;
    const char *bad = getenv("TOY_INF");
    (void)n;
    for (int i = 0; i < UNITS * PIXELS + UNITS; i++) {
        v_next[i] = 0.9f * v[i] - (float)lr * slope[i];
        theta_next[i] = theta[i] + v_next[i];
    }
    if (++updates == (bad ? atoi(bad) : -1))
        theta_next[20] = INFINITY;
}

// image label W b count lambda | loss accuracy | arena: scores, softmax
static void evaluate(void *const *slot, int64_t n) {
    float *arena = slot[8];
    *(double *)slot[6] = forward(slot[0], slot[2], slot[3], slot[1], arena, arena + n * UNITS, n, slot[7]) + penalty(slot[2], *(const double *)slot[5]);
}

// image W b | class probability scores | arena: softmax
static void predict(void *const *slot, int64_t n) {
    int32_t *class = slot[3];
    float *probability = slot[4], *scores = slot[5], *softmax = slot[6];
    forward(slot[0], slot[1], slot[2], NULL, scores, softmax, n, NULL);
    for (int64_t i = 0; i < n; i++) {
        const float *s = softmax + i * UNITS;
        class[i] = s[0] >= s[1] && s[0] >= s[2] ? 0 : s[1] >= s[2] ? 1 : 2;
        probability[i] = s[class[i]];
    }
}

// validation.loss best waited epoch | stop keep best waited
static void rules(void *const *slot, int64_t n) {
    double loss = *(const double *)slot[0], best = *(const double *)slot[1], waited = *(const double *)slot[2];
    int better = loss < best;
    (void)n;
    *(uint8_t *)slot[5] = (uint8_t)better;
    *(double *)slot[6] = better ? loss : best;
    *(double *)slot[7] = better ? 0 : waited + 1;
    *(uint8_t *)slot[4] = !better && waited + 1 >= 3;
}

static void report(void *const *slot, int64_t n) {
    (void)n;
    *(double *)slot[1] = *(const double *)slot[0];
}

// image W b | scores; one step, which says that it is done
static void check(void *const *slot, int64_t n) {
    float *scores = slot[3];
    score(slot[0], slot[1], slot[2], scores, 0, n);
    if (getenv("TOY_NAN"))
        scores[n * UNITS - 1] = NAN;
    if (nr_stepped)
        nr_stepped(0);
}

// ---- slots
#define IMAGE {NR_field, 0, 0, NR_f32, 4, batch_image, "image"}
#define LABEL {NR_field, 1, 0, NR_i32, 1, batch_only, "label"}
#define WEIGHT {NR_param, 0, 0, NR_f32, 2, weight_shape, "Toy.dense_1.W"}
#define BIAS {NR_param, 1, 0, NR_f32, 1, bias_shape, "Toy.dense_1.b"}
#define COUNT {NR_state, 0, 0, NR_f32, 0, NULL, "Toy.count"}
#define LAMBDA {NR_hyper, 1, 0, NR_f64, 0, NULL, "lambda"}
#define PIXELS_SLOT {NR_raw, 0, 0, NR_u8, 4, batch_image, "pixels"}
#define MEAN {NR_fitted, 0, 0, NR_f32, 0, NULL, "toy.mean"}
#define DEVIATION {NR_fitted, 1, 0, NR_f32, 0, NULL, "toy.deviation"}
#define THETA {NR_theta, 0, 0, NR_f32, 1, flat_shape, "theta"}
#define VELOCITY {NR_rule_state, 0, 0, NR_f32, 1, flat_shape, "momentum.v"}
#define VALUE(i, type, rank, shape, name) {NR_value, i, 0, type, rank, shape, name}
#define MEMORY(i, name) {NR_memory, i, 0, NR_f64, 0, NULL, name}
#define ACCURACY(split) {NR_measure, 1, split, NR_f64, 0, NULL, "accuracy"}

static const struct nr_slot fit_slots[] = {PIXELS_SLOT, MEAN, DEVIATION};
static const struct nr_slot prepare_slots[] = {PIXELS_SLOT, MEAN, DEVIATION, IMAGE};
static const struct nr_slot init_slots[] = {{NR_builtin, NR_seed, 0, NR_i64, 0, NULL, "seed"}, WEIGHT, BIAS, COUNT};
#define STEP_INPUTS IMAGE, LABEL, WEIGHT, BIAS, COUNT, LAMBDA, {NR_builtin, NR_step, 0, NR_f64, 0, NULL, "step"}
#define STEP_OUTPUTS {NR_loss, 0, 0, NR_f32, 0, NULL, "loss"}, {NR_gradient, 0, 0, NR_f32, 2, weight_shape, "Toy.dense_1.W"}, \
    {NR_gradient, 1, 0, NR_f32, 1, bias_shape, "Toy.dense_1.b"}, COUNT, ACCURACY(NR_train), VALUE(2, NR_f32, 2, batch_scores, "scores")
static const struct nr_slot gradient_slots[] = {STEP_INPUTS, STEP_OUTPUTS};
static const struct nr_slot update_slots[] = {THETA, {NR_slope, 0, 0, NR_f32, 1, flat_shape, "slope"}, VELOCITY, {NR_hyper, 0, 0, NR_f64, 0, NULL, "lr"}, THETA, VELOCITY};
static const struct nr_slot evaluate_slots[] = {IMAGE, LABEL, WEIGHT, BIAS, COUNT, LAMBDA, {NR_measure, 0, NR_validation, NR_f64, 0, NULL, "loss"}, ACCURACY(NR_validation)};
static const struct nr_slot predict_slots[] = {IMAGE, WEIGHT, BIAS, VALUE(0, NR_i32, 1, batch_only, "class"), VALUE(1, NR_f32, 1, batch_only, "probability"),
                                               VALUE(2, NR_f32, 2, batch_scores, "scores")};
static const struct nr_slot rules_slots[] = {{NR_measure, 0, NR_validation, NR_f64, 0, NULL, "validation.loss"}, MEMORY(0, "best"), MEMORY(1, "waited"),
                                             {NR_builtin, NR_epoch, 0, NR_f64, 0, NULL, "epoch"}, {NR_stop, 0, 0, NR_bool, 0, NULL, "stop"},
                                             {NR_keep, 0, 0, NR_bool, 0, NULL, "keep"}, MEMORY(0, "best"), MEMORY(1, "waited")};
static const struct nr_slot report_slots[] = {ACCURACY(NR_test), VALUE(3, NR_f64, 0, NULL, "test.accuracy")};
static const struct nr_slot check_slots[] = {IMAGE, WEIGHT, BIAS, VALUE(2, NR_f32, 2, batch_scores, "scores")};
static const struct nr_buffer check_buffers[] = {{"image", NR_f32, 0, 0, 0, 0, 0, PIXELS}, {"Toy.dense_1.W", NR_f32, 0, 1, 0, 0, UNITS * PIXELS, 0},
                                                 {"scores", NR_f32, 1, 3, 0, 0, 0, UNITS}};
static const struct nr_step check_steps[] = {{.name = "contraction_1", .what = "scores[n, k] = sum[i] W[k, i]*image[n, i] + b[k]",
                                              .layer = "Toy.dense_1", .place = "toy.net:7", .n_buffers = 3, .buffers = check_buffers}};

#define GRAPH(kind, name, run, slots, inputs, arena) \
    {kind, name, run, inputs, sizeof slots / sizeof *slots - inputs, slots, 64, arena, 0, 2.0 * UNITS * PIXELS, NR_at_end, 0, -1, 0, NULL}
static const struct nr_graph graphs[] = {
    GRAPH(NR_fit, "fit", fit, fit_slots, 1, 0),
    GRAPH(NR_prepare, "prepare", prepare, prepare_slots, 3, 0),
    GRAPH(NR_init, "init", init, init_slots, 1, 0),
    GRAPH(NR_gradient_graph, "gradient", gradient_step, gradient_slots, 7, 4 * UNITS),
    GRAPH(NR_update, "update", update, update_slots, 4, 0),
    GRAPH(NR_evaluate, "evaluate", evaluate, evaluate_slots, 6, 8 * UNITS),
    GRAPH(NR_predict, "predict", predict, predict_slots, 3, 4 * UNITS),
    GRAPH(NR_trace, "trace", gradient_step, gradient_slots, 7, 4 * UNITS),
    GRAPH(NR_rules, "rules", rules, rules_slots, 4, 0),
    GRAPH(NR_report, "report", report, report_slots, 1, 0),
    {NR_check, "check", check, 3, 1, check_slots, 64, 0, 0, 0, NR_at_end, 0, -1, 1, check_steps},
};

// ---- tables
static const struct nr_argument reader_arguments[] = {{NULL, "toy-set", 0}};
static const struct nr_reader readers[] = {{"idx", 1, reader_arguments, 0, 2}};
static const struct nr_field raw[] = {{"pixels", NR_u8, 0, 3, image_shape, 0, 1, 1, 0, NULL, 0, 0, NULL},
                                       {"label", NR_i32, 3, 0, NULL, 0, 1, 0, 0, NULL, 0, 0, NULL}};
static const struct nr_field fields[] = {{"image", NR_f32, 0, 3, image_shape, 0, 1, 1, 0, NULL, 0, 0, NULL},
                                         {"label", NR_i32, 3, 0, NULL, 2, 1, 0, 0, NULL, 0, 0, NULL}};
static const struct nr_split_rule splits[] = {{"validation", "train", 0, 30}};
static const struct nr_tensor fitted[] = {{"toy.mean", NR_f32, 0, NULL, 1, 0}, {"toy.deviation", NR_f32, 0, NULL, 1, 1}};
static const struct nr_tensor params[] = {{"Toy.dense_1.W", NR_f32, 2, weight_shape, UNITS * PIXELS, 0}, {"Toy.dense_1.b", NR_f32, 1, bias_shape, UNITS, UNITS * PIXELS}};
static const struct nr_tensor states[] = {{"Toy.count", NR_f32, 0, NULL, 1, 0}};
static const struct nr_range whole[] = {{0, UNITS * PIXELS + UNITS}};
static const struct nr_segment segments[] = {{UNITS * PIXELS + UNITS, 1, whole}};
static const struct nr_stage stages[] = {{.batch = BATCH, .epochs = 5, .has_keep = 1, .has_stop = 1, .minimizes = 1, .gradient = 2}};
static const struct nr_named rule_states[] = {{"momentum.v", 0}}, memories[] = {{"best", INFINITY}, {"waited", 0}};
static const struct nr_measure measures[] = {{"loss", "loss", 0, 0}, {"accuracy", "accuracy", -1, 0}, {"gradient", "gradient", 0, 1}};
static const struct nr_named values[] = {{"class", 0}, {"probability", 0}, {"scores", 0}, {"test.accuracy", 0}};
static const struct nr_hyper hypers[] = {{"lr", "step size", "0.1", 0.1, 0, 0}, {"lambda", "weight decay", "0.001", 1e-3, 0, 0}, {"units", "classes", "3", 3, 1, 1}};

static void add_squares(const void *x, int64_t n, double *sum) {
    *sum = 0;
    for (int64_t i = 0; i < n; i++)
        *sum += (double)((const float *)x)[i] * (double)((const float *)x)[i];
}

#define ROWS(table) sizeof table / sizeof *table, table
const struct nr_program nr_program = {
    .version = NR_VERSION, .name = "toy", .data_name = "toy", .source = "toy.net", .compiler = "netc 0.1.0", .hash = 0x70799,
    .real = NR_f32, .batch = BATCH, .batch_all = 0, .scratch = 0, .squares = add_squares, ROWS(stages), ROWS(hypers), ROWS(readers), ROWS(raw), ROWS(fields), ROWS(splits), ROWS(fitted), ROWS(params), ROWS(states), ROWS(segments),
    ROWS(rule_states), ROWS(measures), ROWS(memories), ROWS(values), 0, NULL, ROWS(graphs),
};
