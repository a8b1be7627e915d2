// Scores images by a detector that adlib exported: see README.md.

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <jpeglib.h>
#include <openvino/openvino.hpp>
#include <png.h>

namespace {

using Bytes = std::vector<unsigned char>;

struct Image {
  size_t height = 0, width = 0;
  Bytes rgb;
};

Bytes read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) throw std::runtime_error("it is not there, or it is empty");
  return bytes;
}

// The orientation, 1 to 8, of a block of EXIF, which is a TIFF; 1 if it has none.
int orientation_of(const unsigned char* tiff, size_t size) {
  if (size < 8) return 1;
  const bool is_little = tiff[0] == 'I';
  auto number = [&](size_t at, size_t n_bytes) {
    size_t value = 0;
    for (size_t i = 0; i < n_bytes; ++i)
      value = value << 8 | tiff[at + (is_little ? n_bytes - 1 - i : i)];
    return value;
  };
  const size_t first = number(4, 4);
  if (first + 2 > size) return 1;
  const size_t n_entries = number(first, 2);
  for (size_t i = 0; i < n_entries; ++i) {
    const size_t entry = first + 2 + 12 * i;
    if (entry + 12 > size) return 1;
    if (number(entry, 2) != 0x0112) continue;
    const int found = static_cast<int>(number(entry + 8, 2));
    return 1 <= found && found <= 8 ? found : 1;
  }
  return 1;
}

Image turned(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool is_swapped = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation >= 7;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 ||
                          orientation == 7;
  Image upright{image.height, image.width, Bytes(image.rgb.size())};
  if (is_swapped) std::swap(upright.height, upright.width);
  unsigned char* to = upright.rgb.data();
  for (size_t y = 0; y < upright.height; ++y)
    for (size_t x = 0; x < upright.width; ++x, to += 3) {
      size_t row = is_swapped ? x : y, column = is_swapped ? y : x;
      if (from_below) row = image.height - 1 - row;
      if (from_right) column = image.width - 1 - column;
      std::memcpy(to, &image.rgb[3 * (row * image.width + column)], 3);
    }
  return upright;
}

// libpng and libjpeg report by callbacks that must not return. These throw: the C
// libraries of Debian are built so that exceptions pass through them.
[[noreturn]] void png_failed(png_structp, png_const_charp text) {
  throw std::runtime_error(text);
}

Image decode_png(const Bytes& bytes) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, png_failed,
                                           [](png_structp, png_const_charp) {});
  png_infop info = png_create_info_struct(png);
  struct Guard {
    png_structp* png;
    png_infop* info;
    ~Guard() { png_destroy_read_struct(png, info, nullptr); }
  } guard{&png, &info};
  struct Rest {
    const unsigned char* at;
    size_t size;
  } rest{bytes.data(), bytes.size()};
  png_set_read_fn(png, &rest, [](png_structp p, png_bytep to, size_t size) {
    Rest& from = *static_cast<Rest*>(png_get_io_ptr(p));
    if (size > from.size) png_error(p, "it ends too early");
    std::memcpy(to, from.at, size);
    from.at += size;
    from.size -= size;
  });
  // No gamma and no colour profile: the numbers as they are, as Pillow reads them.
  png_read_png(png, info,
               PNG_TRANSFORM_EXPAND | PNG_TRANSFORM_GRAY_TO_RGB |
                   PNG_TRANSFORM_STRIP_ALPHA,
               nullptr);
  if (png_get_bit_depth(png, info) != 8)
    throw std::runtime_error("it has more than 8 bits a channel");
  Image image{png_get_image_height(png, info), png_get_image_width(png, info), {}};
  png_bytepp rows = png_get_rows(png, info);
  for (size_t y = 0; y < image.height; ++y)
    image.rgb.insert(image.rgb.end(), rows[y], rows[y] + 3 * image.width);
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  const bool has_exif = png_get_eXIf_1(png, info, &size, &exif) != 0;
  return turned(std::move(image), has_exif ? orientation_of(exif, size) : 1);
}

Image decode_jpeg(const Bytes& bytes) {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  errors.error_exit = [](j_common_ptr p) {
    char text[JMSG_LENGTH_MAX];
    p->err->format_message(p, text);
    throw std::runtime_error(text);
  };
  errors.output_message = [](j_common_ptr) {};
  jpeg_create_decompress(&jpeg);
  struct Guard {
    jpeg_decompress_struct* jpeg;
    ~Guard() { jpeg_destroy_decompress(jpeg); }
  } guard{&jpeg};
  jpeg_mem_src(&jpeg, bytes.data(), bytes.size());
  jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&jpeg, TRUE);
  if (jpeg.num_components != 1 && jpeg.num_components != 3)
    throw std::runtime_error("it is neither grey nor RGB");
  int orientation = 1;
  for (auto* marker = jpeg.marker_list; marker; marker = marker->next)
    if (marker->data_length > 6 && !std::memcmp(marker->data, "Exif\0\0", 6))
      orientation = orientation_of(marker->data + 6, marker->data_length - 6);
  jpeg.out_color_space = JCS_RGB;
  jpeg_start_decompress(&jpeg);
  Image image{jpeg.output_height, jpeg.output_width, {}};
  image.rgb.resize(3 * image.height * image.width);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = &image.rgb[3 * image.width * jpeg.output_scanline];
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  if (errors.num_warnings) throw std::runtime_error("it is damaged or ends too early");
  return turned(std::move(image), orientation);
}

Image decode(const Bytes& bytes) {
  if (bytes.size() > 8 && !png_sig_cmp(bytes.data(), 0, 8)) return decode_png(bytes);
  if (bytes.size() > 2 && bytes[0] == 0xFF && bytes[1] == 0xD8)
    return decode_jpeg(bytes);
  throw std::runtime_error("it is neither PNG nor JPEG");
}

template <class Ports>
bool has(const Ports& ports, const std::string& name) {
  for (const auto& port : ports)
    if (port.get_names().count(name)) return true;
  return false;
}

ov::CompiledModel load(const std::string& path) {
  const Bytes bytes = read_file(path);
  ov::Core core;
  auto model = core.read_model(std::string(bytes.begin(), bytes.end()), ov::Tensor());
  if (!has(model->inputs(), "images") || !has(model->outputs(), "score"))
    throw std::runtime_error("it is not a model that adlib exported");
  // Without this hint, processors that have bfloat16 give other scores.
  return core.compile_model(model, "CPU",
                            ov::hint::inference_precision(ov::element::f32));
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string inside;
  for (char c : text) inside += c == '"' ? "\"\"" : std::string(1, c);
  return '"' + inside + '"';
}

}  // namespace

int main(int argc, char** argv) {
  std::string maps;
  if (argc > 3 && std::string(argv[1]) == "--maps") {
    maps = argv[2];
    argc -= 2;
    argv += 2;
  }
  if (argc < 3) {
    std::cerr << "Usage: score [--maps FOLDER] MODEL.onnx IMAGE...\n";
    return 2;
  }
  std::string path = argv[1];
  try {
    ov::CompiledModel model = load(path);
    const bool is_judged = has(model.outputs(), "verdict");
    ov::InferRequest request = model.create_infer_request();
    std::cout.precision(9);  // which give a float32 back exactly
    std::cout << "path,score,verdict,ms\n";
    for (int i = 2; i < argc; ++i) {
      path = argv[i];
      Image image = decode(read_file(path));
      ov::Tensor pixels(ov::element::u8, {1, image.height, image.width, 3},
                        image.rgb.data());
      request.set_tensor("images", pixels);
      const auto begun = std::chrono::steady_clock::now();
      request.infer();
      const std::chrono::duration<float, std::milli> time =
          std::chrono::steady_clock::now() - begun;
      const float score = request.get_tensor("score").data<float>()[0];
      const char* verdict = "";
      if (is_judged) {
        const int found = request.get_tensor("verdict").data<int>()[0];
        verdict = found == 1 ? "normal" : "anomalous";
      }
      std::cout << csv_field(path) << ',' << score << ',' << verdict << ','
                << std::lround(10 * time.count()) / 10.0 << std::endl;
      if (!maps.empty()) {
        path = maps + "/" + std::to_string(i - 2) + ".f32";
        const ov::Tensor map = request.get_tensor("anomaly_map");
        std::ofstream file(path, std::ios::binary);
        file.write(static_cast<const char*>(map.data()), map.get_byte_size());
        if (!file.flush()) throw std::runtime_error("it cannot be written");
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "error: " << path << " cannot be used: " << error.what() << '\n';
    return 1;
  }
}
