/* print-metrics MODEL.bin [--gpus]: forty requests through a predictor, some of them equal and one bad; then its
 * metrics, as JSON on the first line and as Prometheus reads them on the others. The model takes 1x1x8x8. */
#include "runtime/infer_predictor.h"

#include <stdio.h>

static char text[65536];

int main(int argc, char **argv)
{
    infer_error error = {0};
    infer_predictor *predictor;
    infer_metrics metrics;
    infer_predictor_options options = {
        .path = argc > 1 ? argv[1] : "", .batch_size = 4, .cache_bytes = 1 << 20, .gpu_metrics = argc > 2};
    if (infer_predictor_create(&options, &predictor, &error) != INFER_OK) {
        fprintf(stderr, "print-metrics: %s\n", error.message);
        return 1;
    }
    for (int k = 0; k < 40; k++) {
        float image[64] = {(float)(k % 30)}, scores[10];
        int64_t dims[4] = {1, 1, 8, k == 39 ? 7 : 8};
        infer_tensor input = infer_input(image, INFER_FLOAT32, 4, dims), result = infer_output(scores, sizeof scores);
        infer_status status = infer_predict(predictor, &input, 1, &result, 1, NULL, &error);
        if (status != (k == 39 ? INFER_INVALID_ARGUMENT : INFER_OK)) {
            fprintf(stderr, "print-metrics: request %d: %s\n", k, error.message);
            return 1;
        }
    }
    infer_metrics_snapshot(predictor, &metrics, &error);
    infer_metrics_json(&metrics, text, sizeof text);
    puts(text);
    infer_metrics_prometheus(&metrics, "model=\"a \\\"digit\\\"\"", text, sizeof text);
    fputs(text, stdout);
    infer_predictor_release(predictor);
    return 0;
}
