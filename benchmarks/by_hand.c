/* What an expert writes by hand: loops, no unrolling, derivatives by the chain rule on paper.

Every function works on what its ..._bind was given, so that a call from Python passes no arguments. */

#include <stddef.h>

enum { STEPS = 200 };

static const double *parameters, *position;
static double *value, *derivative, *slope;
static size_t length;

void lotka_volterra_bind(const double *input, double *result, double *gradient)
{
    parameters = input;
    value = result;
    derivative = gradient;
}

/* Stage points are kept on the way there, and all else is computed again on the way back. */
void lotka_volterra(void)
{
    static double xs[STEPS][4], ys[STEPS][4];
    const double step = 0.1, growth = parameters[0], predation = parameters[1], death = parameters[2],
                 conversion = parameters[3], part[3] = {step / 2, step / 2, step},
                 weight[4] = {step / 6, step / 3, step / 3, step / 6};
    double x = parameters[4], y = parameters[5];
    for (int n = 0; n < STEPS; n++) {
        double next_x = x, next_y = y, at_x = x, at_y = y;
        for (int stage = 0; stage < 4; stage++) {
            xs[n][stage] = at_x;
            ys[n][stage] = at_y;
            double both = at_x * at_y;
            double rate_x = growth * at_x - predation * both, rate_y = conversion * both - death * at_y;
            next_x += weight[stage] * rate_x;
            next_y += weight[stage] * rate_y;
            if (stage < 3) {
                at_x = x + part[stage] * rate_x;
                at_y = y + part[stage] * rate_y;
            }
        }
        x = next_x;
        y = next_y;
    }
    *value = x * x + y * y;

    double of_x = 2 * x, of_y = 2 * y, of_growth = 0, of_predation = 0, of_death = 0, of_conversion = 0;
    for (int n = STEPS - 1; n >= 0; n--) {
        double sum_x = of_x, sum_y = of_y, of_at_x = 0, of_at_y = 0;
        for (int stage = 3; stage >= 0; stage--) {
            double u = weight[stage] * of_x, v = weight[stage] * of_y;
            if (stage < 3) {
                u += part[stage] * of_at_x;
                v += part[stage] * of_at_y;
            }
            double at_x = xs[n][stage], at_y = ys[n][stage], both = at_x * at_y;
            of_growth += u * at_x;
            of_predation -= u * both;
            of_conversion += v * both;
            of_death -= v * at_y;
            of_at_x = u * (growth - predation * at_y) + v * conversion * at_y;
            of_at_y = v * (conversion * at_x - death) - u * predation * at_x;
            sum_x += of_at_x;
            sum_y += of_at_y;
        }
        of_x = sum_x;
        of_y = sum_y;
    }
    derivative[0] = of_growth;
    derivative[1] = of_predation;
    derivative[2] = of_death;
    derivative[3] = of_conversion;
    derivative[4] = of_x;
    derivative[5] = of_y;
}

void rosenbrock_bind(const double *x, double *gradient, size_t n)
{
    position = x;
    slope = gradient;
    length = n;
}

void rosenbrock(void)
{
    const double *restrict x = position;
    double *restrict g = slope;
    size_t last = length - 1;
    g[0] = -400 * x[0] * (x[1] - x[0] * x[0]) - 2 * (1 - x[0]);
    for (size_t i = 1; i < last; i++)
        g[i] = 200 * (x[i] - x[i - 1] * x[i - 1]) - 400 * x[i] * (x[i + 1] - x[i] * x[i]) - 2 * (1 - x[i]);
    g[last] = 200 * (x[last] - x[last - 1] * x[last - 1]);
}

/* Multiply-adds that wait for nothing: what the processor can do at most. Eight doubles in each of twelve sums. */
typedef double vector __attribute__((vector_size(64)));
enum { SUMS = 12, ROUNDS = 100000 };
const double peak_operations = 2.0 * 8 * SUMS * ROUNDS;
volatile double peak_result;

void peak(void)
{
    vector sums[SUMS], factor = {0}, more = {0};
    factor += 0.5 + peak_result;
    more += 0.25;
    for (int k = 0; k < SUMS; k++)
        sums[k] = more * k;
    for (int n = 0; n < ROUNDS; n++)
#pragma GCC unroll 12
        for (int k = 0; k < SUMS; k++)
            sums[k] = sums[k] * factor + more;
    for (int k = 1; k < SUMS; k++)
        sums[0] += sums[k];
    peak_result = sums[0][0] * 1e-300;
}
