/* system.c: threads, interruption, and what there is to say about this process and machine. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "binding.h"

/* ---- threads ---- */

static int get_num_threads(lua_State *L) {
  lua_pushinteger(L, mt_num_threads());
  return 1;
}

static int set_num_threads(lua_State *L) {
  int64_t n = mtb_check_whole(L, 1, "set_num_threads: the number");
  if (n < 1 || n > 4096)
    mtb_error(L, "set_num_threads: expected 1 to 4096, got %lld", (long long)n);
  MTB_CHECK(L, mt_set_num_threads((int)n));
  return 0;
}

/* ---- interruption ---- */

static lua_State *interrupted_state;

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  mt_interrupted(); /* the flag has done its work */
  mtb_error(L, "interrupted");
}

void mtb_interrupt_seen(lua_State *L) {
  if (lua_gethook(L) == raise_interrupt) lua_sethook(L, NULL, 0, 0);
  mt_interrupted();
}

/* Only what may be done in a signal handler: the flag for ops that run, a hook for Lua. A second
 * Ctrl-C before either acted ends the process. */
static void on_signal(int number) {
  signal(number, SIG_DFL);
  mt_interrupt();
  if (interrupted_state)
    lua_sethook(interrupted_state, raise_interrupt,
                LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT | LUA_MASKLINE, 1);
}

/* core.catch_interrupts(on): Ctrl-C raises "interrupted" in the running Lua thread of the caller.
 * To be called again after it was raised. */
static int catch_interrupts(lua_State *L) {
  bool on = lua_isnoneornil(L, 1) || lua_toboolean(L, 1);
  mt_interrupted();
  interrupted_state = on ? L : NULL;
  signal(SIGINT, on ? on_signal : SIG_DFL);
  return 0;
}

static int interrupt(lua_State *L) {
  (void)L;
  mt_interrupt();
  return 0;
}

static int interrupted(lua_State *L) {
  lua_pushboolean(L, mt_interrupted());
  return 1;
}

/* ---- the machine ---- */

static int isa(lua_State *L) {
  lua_pushstring(L, mt_isa());
  return 1;
}

static int blas(lua_State *L) {
  lua_pushstring(L, mt_blas());
  return 1;
}

static int version(lua_State *L) {
  lua_pushstring(L, mt_version_string());
  return 1;
}

/* core.now(): seconds of a clock that never jumps */
static int now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
  return 1;
}

static int sleep_for(lua_State *L) {
  double s = luaL_checknumber(L, 1);
  if (!(s > 0) || s > 1e9) return 0;
  struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
  nanosleep(&t, NULL);
  return 0;
}

/* core.isatty(fd): fd 0, 1 or 2 */
static int is_terminal(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* core.terminal_width([fd]): columns, or nil when fd is no terminal */
static int terminal_width(lua_State *L) {
  struct winsize w;
  int fd = lua_isnoneornil(L, 1) ? 1 : (int)luaL_checkinteger(L, 1);
  if (ioctl(fd, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) return 0;
  lua_pushinteger(L, w.ws_col);
  return 1;
}

/* core.mkdir(path): with the folders above; true, or nil and why not */
static int make_dir(lua_State *L) {
  char path[4096];
  size_t len;
  const char *given = luaL_checklstring(L, 1, &len);
  if (len == 0 || len >= sizeof path || strlen(given) != len) return 0;
  memcpy(path, given, len + 1);
  for (char *p = path + 1;; p++) {
    char c = *p;
    if (c != '/' && c != 0) continue;
    *p = 0;
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
      lua_pushnil(L);
      lua_pushfstring(L, "%s: %s", path, strerror(errno));
      return 2;
    }
    *p = c;
    if (!c) break;
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* core.stat(path): "file", "directory" or "other", size and time of change; nil if not there */
static int stat_path(lua_State *L) {
  struct stat s;
  if (stat(luaL_checkstring(L, 1), &s) != 0) return 0;
  lua_pushstring(L, S_ISREG(s.st_mode) ? "file" : S_ISDIR(s.st_mode) ? "directory" : "other");
  lua_pushnumber(L, (lua_Number)s.st_size);
  lua_pushnumber(L, (lua_Number)s.st_mtime);
  return 3;
}

static int process_id(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

void mtb_open_system(lua_State *L, mtb_state *st) {
  static const mtb_function list[] = {{"get_num_threads", get_num_threads},
                                      {"set_num_threads", set_num_threads},
                                      {"catch_interrupts", catch_interrupts},
                                      {"interrupt", interrupt},
                                      {"interrupted", interrupted},
                                      {"isa", isa},
                                      {"blas", blas},
                                      {"version", version},
                                      {"now", now},
                                      {"sleep", sleep_for},
                                      {"isatty", is_terminal},
                                      {"terminal_width", terminal_width},
                                      {"mkdir", make_dir},
                                      {"stat", stat_path},
                                      {"getpid", process_id},
                                      {NULL, NULL}};
  mtb_functions(L, st, list);
}
