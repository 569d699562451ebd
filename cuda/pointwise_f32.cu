// pointwise_f32.cu: the elementwise forward loops computed in float.
#define T_NAME  f32
#define T_TYPE  float
#define T_WHOLE 0
#include "pointwise_forward.cuh"
