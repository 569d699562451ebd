/* export.h: included by the compiler before every file of the runtime and the bindings
 * (-include), so that what moontorch.h declares, and nothing else, leaves core.so, which is
 * compiled with -fvisibility=hidden. moontorch.h itself has no directives: ffi.cdef reads it.
 */
#ifndef MT_EXPORT_H
#define MT_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#include "moontorch.h"
struct lua_State;
int luaopen_moontorch_core(struct lua_State *L);
#pragma GCC visibility pop

#endif
