// pointwise_f64.cu: the elementwise forward loops computed in double.
#define T_NAME  f64
#define T_TYPE  double
#define T_WHOLE 0
#include "pointwise_forward.cuh"
