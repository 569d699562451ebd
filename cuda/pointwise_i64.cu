// pointwise_i64.cu: the elementwise forward loops computed in int64_t.
#define T_NAME  i64
#define T_TYPE  int64_t
#define T_WHOLE 1
#include "pointwise_forward.cuh"
