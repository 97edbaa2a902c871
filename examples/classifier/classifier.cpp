// Says what is in a picture: classifier MODEL.bin PICTURE.ppm. The model takes one float32 image, 1x3xHxW.
#include <infer.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

template <auto Release> struct Releaser {
    template <class T> void operator()(T *object) const
    {
        Release(object);
    }
};
using Model = std::unique_ptr<infer_model, Releaser<infer_model_release>>;
using Session = std::unique_ptr<infer_session, Releaser<infer_session_release>>;
using Context = std::unique_ptr<infer_context, Releaser<infer_context_release>>;

// Makes an object with any of the functions that end in (T **result, infer_error *error).
template <class Owner, class Make, class... Arguments> Owner make(Make *function, Arguments... arguments)
{
    typename Owner::pointer made = nullptr;
    infer_error error;
    if (function(arguments..., &made, &error) != INFER_OK)
        throw std::runtime_error(error.message);
    return Owner(made);
}

// The nearest pixels of a binary PPM, channel by channel, in [-2, 2].
std::vector<float> read_picture(const char *path, int64_t height, int64_t width)
{
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    int64_t columns = 0, rows = 0, most = 0;
    if (!(file >> kind >> columns >> rows >> most) || kind != "P6" || most != 255 || columns < 1 || rows < 1)
        throw std::runtime_error(std::string(path) + " is no binary PPM of 8 bits");
    file.get();
    std::vector<unsigned char> pixels(static_cast<size_t>(3 * columns * rows));
    if (!file.read(reinterpret_cast<char *>(pixels.data()), static_cast<std::streamsize>(pixels.size())))
        throw std::runtime_error(std::string(path) + " ends too soon");
    std::vector<float> image;
    for (int64_t c = 0; c < 3; c++)
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++) {
                int64_t at = (y * rows / height * columns + x * columns / width) * 3 + c;
                image.push_back(pixels[static_cast<size_t>(at)] / 255.0f * 4 - 2);
            }
    return image;
}

void classify(const char *path, const char *picture)
{
    Model model = make<Model>(infer_model_open, path, nullptr);
    Session session = make<Session>(infer_session_create, model.get(), nullptr);
    Context context = make<Context>(infer_context_create, session.get());
    infer_value image;
    if (infer_model_input(model.get(), 0, &image) != INFER_OK || image.rank != 4 || image.dims[1] != 3)
        throw std::runtime_error(std::string(path) + " takes no image");
    int64_t dims[4] = {1, 3, image.dims[2] < 0 ? 224 : image.dims[2], image.dims[3] < 0 ? 224 : image.dims[3]};
    std::vector<float> pixels = read_picture(picture, dims[2], dims[3]);
    infer_tensor input = infer_input(pixels.data(), INFER_FLOAT32, 4, dims), output = infer_output(nullptr, 0);
    infer_error error;
    if (infer_run(context.get(), &input, 1, &output, 1, &error) != INFER_OK)
        throw std::runtime_error(error.message);
    const float *scores = static_cast<const float *>(output.data);
    std::vector<size_t> order(output.bytes / sizeof *scores);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    for (size_t i = 0; i < order.size() && i < 5; i++)
        std::printf("%g  class %zu\n", scores[order[i]], order[i]);
}

int main(int argc, char **argv)
try {
    if (argc < 3)
        throw std::runtime_error("usage: classifier MODEL.bin PICTURE.ppm");
    classify(argv[1], argv[2]);
} catch (const std::exception &error) {
    std::fprintf(stderr, "classifier: %s\n", error.what());
    return 1;
}
