/* An implementation in C that answers the exported golden vectors (docs/conformance.md).
 *
 *     implicit-bias vectors export cases
 *     cc -O2 -o answers docs/conformance.c -lm && ./answers cases/?*-???.txt
 *     implicit-bias conformance --answers cases
 *
 * It offers forward, loss, gradient and descent, and refuses bad input. phi'(0) = 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 4096 /* numbers in one array */

typedef struct {
    char id[64], function[32], loss[32];
    int m, n, d, neurons, labels, columns, steps, has_y, axes_of_X;
    double W[MOST], X[MOST], a[MOST], y[MOST], slope, step_size;
} Case;

static double preactivation(const Case *c, int j, int i) {
    double z = 0.0;
    for (int k = 0; k < c->d; k++) z += c->W[j * c->d + k] * c->X[i * c->d + k];
    return z;
}

static double output(const Case *c, int i) {
    double f = 0.0;
    for (int j = 0; j < c->m; j++) {
        double z = preactivation(c, j, i);
        f += c->a[j] * (z >= 0.0 ? z : c->slope * z);
    }
    return f;
}

static int logistic(const Case *c) { return strcmp(c->loss, "logistic") == 0; }

/* log(1 + e^-q) or e^-q, without overflow or cancellation */
static double loss_at(const Case *c, double q) {
    if (!logistic(c)) return exp(-q);
    return (q < 0.0 ? -q : 0.0) + log1p(exp(-fabs(q)));
}

/* g = -l'(q) */
static double weight_at(const Case *c, double q) {
    double small = exp(-fabs(q));
    if (!logistic(c)) return exp(-q);
    return (q > 0.0 ? small : 1.0) / (1.0 + small);
}

static double loss(const Case *c) {
    double sum = 0.0;
    for (int i = 0; i < c->n; i++) sum += loss_at(c, c->y[i] * output(c, i));
    return sum / c->n;
}

/* dL/dw_j = -(1/n) sum_i g_i y_i a_j phi'(z_ji) x_i: the sum over samples last */
static void gradient(const Case *c, double *G) {
    memset(G, 0, sizeof(double) * (size_t)(c->m * c->d));
    for (int i = 0; i < c->n; i++) {
        double g = weight_at(c, c->y[i] * output(c, i));
        for (int j = 0; j < c->m; j++) {
            double factor = g * c->y[i] * c->a[j] * (preactivation(c, j, i) >= 0.0 ? 1.0 : c->slope) / c->n;
            for (int k = 0; k < c->d; k++) G[j * c->d + k] -= factor * c->X[i * c->d + k];
        }
    }
}

static void descend(Case *c) {
    static double G[MOST];
    for (int t = 0; t < c->steps; t++) {
        gradient(c, G);
        for (int k = 0; k < c->m * c->d; k++) c->W[k] -= c->step_size * G[k];
    }
}

static int all_finite(const double *x, int count) {
    for (int k = 0; k < count; k++)
        if (!isfinite(x[k])) return 0;
    return 1;
}

static int bad_sample(const Case *c, int i) {
    int zero = 1;
    for (int k = 0; k < c->d; k++) zero = zero && c->X[i * c->d + k] == 0.0;
    for (int l = 0; c->has_y && l < i; l++)
        if (c->y[l] != c->y[i] && !memcmp(c->X + l * c->d, c->X + i * c->d, sizeof(double) * (size_t)c->d)) return 1;
    return zero;
}

static int is(const Case *c, const char *function) { return strcmp(c->function, function) == 0; }

static int acceptable(const Case *c) {
    if (c->axes_of_X != 2 || c->m != c->neurons || c->d != c->columns || !(c->slope >= 0.0 && c->slope <= 1.0)) return 0;
    if (!all_finite(c->W, c->m * c->d) || !all_finite(c->X, c->n * c->d) || !all_finite(c->a, c->m)) return 0;
    for (int j = 0; j < c->m; j++)
        if (c->a[j] == 0.0) return 0;
    if (c->has_y && c->labels != c->n) return 0;
    for (int i = 0; c->has_y && i < c->n; i++)
        if (fabs(c->y[i]) != 1.0) return 0;
    for (int i = 0; i < c->n; i++)
        if (bad_sample(c, i)) return 0;
    if (c->has_y && !logistic(c) && strcmp(c->loss, "exponential") != 0) return 0;
    return !is(c, "descent") || (c->step_size > 0.0 && isfinite(c->step_size) && c->steps >= 0);
}

static int read_numbers(FILE *file, double *into, int count) {
    char word[64];
    if (count > MOST) return 0;
    for (int k = 0; k < count; k++) {
        if (fscanf(file, "%63s", word) != 1) return 0;
        into[k] = strtod(word, NULL);
    }
    return 1;
}

/* 0 if the file holds arrays that these functions do not take */
static int read_case(const char *path, Case *c) {
    char what[16], name[32], word[64];
    int rows, columns;
    FILE *file = fopen(path, "r");
    memset(c, 0, sizeof *c);
    if (!file) return 0;
    while (fscanf(file, "%15s", what) == 1 && strcmp(what, "end") != 0) {
        if (!strcmp(what, "case")) { if (fscanf(file, "%63s", c->id) != 1) break; continue; }
        if (!strcmp(what, "function")) { if (fscanf(file, "%31s", c->function) != 1) break; continue; }
        if (fscanf(file, "%31s", name) != 1) break;
        if (!strcmp(what, "word")) {
            if (fscanf(file, "%31s", c->loss) != 1) break;
        } else if (!strcmp(what, "number")) {
            if (fscanf(file, "%63s", word) != 1) break;
            if (!strcmp(name, "slope")) c->slope = strtod(word, NULL);
            if (!strcmp(name, "step_size")) c->step_size = strtod(word, NULL);
            if (!strcmp(name, "steps")) c->steps = atoi(word);
        } else {
            columns = 1;
            if (fscanf(file, "%d", &rows) != 1 || (!strcmp(what, "matrix") && fscanf(file, "%d", &columns) != 1)) break;
            double *into = name[0] == 'W' ? c->W : name[0] == 'X' ? c->X : name[0] == 'a' ? c->a : c->y;
            if (!read_numbers(file, into, rows * columns)) { fclose(file); return 0; }
            if (name[0] == 'W') c->m = rows, c->columns = columns;
            if (name[0] == 'X') c->n = rows, c->d = columns, c->axes_of_X = !strcmp(what, "matrix") ? 2 : 1;
            if (name[0] == 'a') c->neurons = rows;
            if (name[0] == 'y') c->labels = rows, c->has_y = 1;
        }
    }
    fclose(file);
    return 1;
}

static void print_numbers(FILE *file, const double *x, int count) {
    for (int k = 0; k < count; k++) fprintf(file, "%.17g\n", x[k]);
}

static void answer(Case *c, FILE *file) {
    static double result[MOST];
    int count = 1;
    if (!acceptable(c)) { fputs("refused\n", file); return; }
    if (is(c, "forward")) for (count = 0; count < c->n; count++) result[count] = output(c, count);
    if (is(c, "loss")) result[0] = loss(c);
    if (is(c, "gradient")) gradient(c, result), count = c->m * c->d;
    if (is(c, "descent")) descend(c), memcpy(result, c->W, sizeof result), count = c->m * c->d;
    print_numbers(file, result, count);
}

int main(int argc, char **argv) {
    static Case c;
    for (int k = 1; k < argc; k++) {
        char path[1024];
        if (!read_case(argv[k], &c)) continue;
        if (!is(&c, "forward") && !is(&c, "loss") && !is(&c, "gradient") && !is(&c, "descent")) continue;
        snprintf(path, sizeof path, "%.*s.answer.txt", (int)(strlen(argv[k]) - 4), argv[k]);
        FILE *file = fopen(path, "w");
        if (!file) { perror(path); return 1; }
        answer(&c, file);
        fclose(file);
    }
    return 0;
}
