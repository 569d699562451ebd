/* options.c: keyword tables of the binding's own functions, which are no ops. */
#include <stdio.h>
#include <string.h>

#include "binding.h"

void mtb_check_options(lua_State *L, int idx, const char *who, const char *const *names) {
  if (lua_isnoneornil(L, idx)) return;
  if (!lua_istable(L, idx)) {
    char got[300];
    mtb_error(L, "%s: expected a table of keywords, got %s", who,
              mtb_describe(L, idx, got, sizeof got));
  }
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) mtb_error(L, "%s: a table of keywords has names only", who);
    const char *key = lua_tostring(L, -2);
    mtb_near near = mtb_near_to(key);
    bool known = false;
    for (int i = 0; names[i]; i++) {
      known |= strcmp(names[i], key) == 0;
      mtb_near_try(&near, names[i]);
    }
    if (known) continue;
    char list[400] = "";
    size_t used = 0;
    for (int i = 0; names[i] && used < sizeof list; i++) {
      int n = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
      if (n > 0) used += (size_t)n;
    }
    if (near.best)
      mtb_error(L, "%s: unknown keyword '%.40s', did you mean '%s'? (known: %s)", who, key,
                near.best, list);
    mtb_error(L, "%s: unknown keyword '%.40s' (known: %s)", who, key, list);
  }
}

bool mtb_option(lua_State *L, int idx, const char *name) {
  if (!lua_istable(L, idx)) return false;
  lua_getfield(L, idx, name);
  if (!lua_isnil(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

bool mtb_bool_option(lua_State *L, int idx, const char *who, const char *name, bool otherwise) {
  if (!mtb_option(L, idx, name)) return otherwise;
  char got[300];
  if (lua_type(L, -1) != LUA_TBOOLEAN)
    mtb_error(L, "%s: %s must be true or false, got %s", who, name,
              mtb_describe(L, -1, got, sizeof got));
  bool yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

/* ---- near names ---- */

mtb_near mtb_near_to(const char *name) {
  size_t n = strlen(name);
  return (mtb_near){.name = name, .distance = n < 6 ? 1 : n < 10 ? 2 : 3};
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b, or more than limit. */
static int edits(const char *a, const char *b, int limit) {
  enum { LONG = 40 };
  int n = (int)strlen(a), m = (int)strlen(b), row[3][LONG + 1];
  if (n > LONG || m > LONG || n - m > limit || m - n > limit) return limit + 1;
  for (int j = 0; j <= m; j++) row[0][j] = j;
  for (int i = 1; i <= n; i++) {
    int *now = row[i % 3], *up = row[(i + 2) % 3], *upup = row[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= m; j++) {
      int best = up[j - 1] + (a[i - 1] != b[j - 1]);
      if (up[j] + 1 < best) best = up[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && upup[j - 2] + 1 < best)
        best = upup[j - 2] + 1;
      now[j] = best;
    }
  }
  return row[n % 3][m];
}

void mtb_near_try(mtb_near *near, const char *candidate) {
  int limit = near->best ? near->distance - 1 : near->distance;
  int d = edits(near->name, candidate, limit);
  if (d > limit || d >= (int)strlen(near->name)) return;
  near->best = candidate;
  near->distance = d;
}
