// Convolutions of stride 1 that keep the size, each by the faster of its two ways.

#include <cstdint>

extern "C" int Convolution(int, void**, int*, int64_t**, const char**, void*, void*);
extern "C" int DirectConvolution(int, void**, int*, int64_t**, const char**, void*, void*);

namespace {

constexpr int64_t kLeastPixels = 144;  // smaller maps have too few of Winograd's tiles

}  // namespace

// Inputs: x (b, c_in, h, w), weights (c_out, c_in, k, k), bias (c_out), the weights in Winograd's form or, where they are
// not to be had in it, (1); and, if there is one, what is to be added, like the output. Output: (b, c_out, h, w). Chosen
// here and not by the network: a branch in it would be compiled for each of its convolutions.
extern "C" int SameConvolution(int nparam, void** params, int* ndims, int64_t** shapes, const char** dtypes, void* stream,
                               void* extra) {
  if (nparam != 5 && nparam != 6) return 1;
  const bool winograd = ndims[3] == 4 && shapes[0][2] * shapes[0][3] >= kLeastPixels;
  const int weights = winograd ? 3 : 1;
  void* chosen[] = {params[0], params[weights], params[2], params[4], params[nparam - 1]};
  int64_t* their_shapes[] = {shapes[0], shapes[weights], shapes[2], shapes[4], shapes[nparam - 1]};
  return (winograd ? Convolution : DirectConvolution)(nparam - 1, chosen, ndims, their_shapes, dtypes, stream, extra);
}
