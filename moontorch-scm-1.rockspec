rockspec_format = "3.0"
package = "moontorch"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Deep learning scripted in Lua",
  detailed = "Tensors, kernels and reverse-mode autograd in a C11 runtime, scripted from LuaJIT.",
  license = "MIT",
}
dependencies = { "lua == 5.1" }
supported_platforms = { "linux" }
build = {
  type = "make",
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    CUDA = "auto",
  },
  install_variables = {
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
    INST_BINDIR = "$(BINDIR)",
    INST_INCDIR = "",
    LUA_INCDIR = "$(LUA_INCDIR)",
  },
}
test = { type = "command", command = "./test.sh" }
