/* vjp.c: what derivatives have in common. Written with ops, so that it can be differentiated. */
#include <string.h>

#include "internal.h"
#include "moontorch_ops.h"

int mt__sum_to(mt_tensor **out, mt_tensor *g, const mt_tensor *like) {
  *out = NULL;
  int64_t dims[MT_MAX_DIMS];
  int n = 0, lead = g->ndim - like->ndim;
  for (int d = 0; d < g->ndim; d++)
    if (d < lead || (like->sizes[d - lead] == 1 && g->sizes[d] != 1)) dims[n++] = d;
  if (n == 0) {
    *out = mt_retain(g);
    return MT_OK;
  }
  if (lead == n) /* only leading dimensions go: nothing to put back */
    return mt_sum(out, g, (mt_ints){n, dims}, false, -1);
  MT_AUTO *sum = NULL;
  MT_TRY(mt_sum(&sum, g, (mt_ints){n, dims}, true, -1));
  return mt_view(out, sum, (mt_ints){like->ndim, like->sizes});
}

int mt__zeros_like(mt_tensor **out, const mt_tensor *t) {
  return mt_zeros(out, (mt_ints){t->ndim, t->sizes}, t->dtype, t->device, false);
}
