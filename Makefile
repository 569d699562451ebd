# moontorch: GNU make.
#
#   make                    build/lib/moontorch/core.so (and the CUDA plugin where nvcc is)
#   make check              format, lint and every test
#   make check SAN=address,undefined   the tests under sanitizers, in a build folder of its own
#   make install PREFIX=/usr/local
#
#   CUDA=auto|yes|no  CC  CFLAGS  LUA_INCDIR  SAN  WERROR=1
# New files are found by wildcard: a new op, kernel or .cu needs no line here.

CC ?= gcc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
CUDA ?= auto
SAN ?=
LUA ?= $(firstword $(foreach l,luajit lua5.1 lua,$(shell command -v $(l) 2>/dev/null)))

comma := ,
B := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
OBJ := $(B)/obj
GEN := $(B)/include
LIB := $(B)/lib/moontorch

# ---- flags ----------------------------------------------------------------

# What LuaRocks passes, or what pkg-config says, or the usual places.
LUA_INCDIR ?= $(patsubst -I%,%,$(firstword $(shell pkg-config --cflags-only-I luajit 2>/dev/null)))
ifeq ($(strip $(LUA_INCDIR)),)
LUA_INCDIR := $(patsubst %/lua.h,%,$(firstword $(wildcard /usr/include/luajit-2.*/lua.h /usr/local/include/luajit-2.*/lua.h)))
endif

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef \
  -Wwrite-strings -Wvla $(if $(WERROR),-Werror)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
BASE := -std=gnu11 -fPIC -ftls-model=initial-exec -fvisibility=hidden -pthread -D_GNU_SOURCE= -Iruntime -I$(GEN) $(WARN) \
  $(SANFLAGS)
RT := $(BASE) $(if $(IS_CLANG),,-fno-semantic-interposition) -include runtime/export.h
# -ffp-contract=off: the same bits from every compiler; kernels say where they want an fma.
KERN := $(BASE) -Iruntime/kernels $(if $(SAN),,-O3) -fno-math-errno -fno-trapping-math -ffp-contract=off
LDLIBS := -lm -lpthread -lz -ldl
SHARED := -shared -pthread -Wl,-z,nodelete -Wl,-Bsymbolic-functions $(SANFLAGS)

MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ifneq ($(filter x86_64 amd64,$(MACHINE)),)
ISAS := base avx2 avx512
AVX2 := -mavx2 -mfma -mf16c
ISA_avx2 := $(AVX2)
ISA_avx512 := $(AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
else
ISAS := base
endif

# ---- files ----------------------------------------------------------------

OPS := $(sort $(wildcard runtime/ops/*.c))
DEFS := $(sort $(wildcard runtime/ops/*.def))
RT_SRC := $(sort $(wildcard runtime/*.c runtime/io/*.c)) $(OPS)
KERN_SRC := $(sort $(wildcard runtime/kernels/*.c))
BIND_SRC := $(sort $(wildcard bindings/*.c))
CSPEC_SRC := $(sort $(wildcard spec/c/*.c))

RT_OBJ := $(RT_SRC:%.c=$(OBJ)/%.o)
KERN_OBJ := $(foreach i,$(ISAS),$(KERN_SRC:%.c=$(OBJ)/%.$(i).o))
BIND_OBJ := $(BIND_SRC:%.c=$(OBJ)/%.o)
CSPEC := $(CSPEC_SRC:spec/c/%.c=$(B)/spec/%)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all check test size format format-check lint install uninstall clean cuda cspec headers

all: $(LIB)/core.so cuda

# ---- headers made from the op table ---------------------------------------

GENERATED := $(GEN)/moontorch_ops.h $(GEN)/mt_families.inc $(GEN)/mt_opnames.inc
headers: $(GENERATED)

# The list of op files is part of what the headers depend on: a removed family counts too.
OPLIST := $(GEN)/oplist
ifneq ($(shell cat $(OPLIST) 2>/dev/null || echo none),$(strip $(OPS) $(DEFS)))
$(shell mkdir -p $(GEN) && echo '$(strip $(OPS) $(DEFS))' >$(OPLIST))
endif
$(GEN)/stamp: runtime/gen.lua $(OPS) $(DEFS) $(OPLIST)
	@mkdir -p $(GEN)
	$(LUA) runtime/gen.lua runtime/ops $(GEN) $(OPS)
	@touch $@
$(GENERATED): $(GEN)/stamp ;

# ---- core.so --------------------------------------------------------------

$(OBJ)/runtime/%.o: runtime/%.c | $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(RT) $(CFLAGS) -MMD -MP -c -o $@ $<

define KERNEL_RULE
$(OBJ)/runtime/kernels/%.$(1).o: runtime/kernels/%.c | $(GENERATED)
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(KERN) -DMT_ISA=$(1) $$(ISA_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call KERNEL_RULE,$(i))))

$(OBJ)/bindings/%.o: bindings/%.c | $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(RT) -fexceptions -I$(LUA_INCDIR) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB)/core.so: $(RT_OBJ) $(KERN_OBJ) $(BIND_OBJ) $(OBJ)/objects
	@mkdir -p $(@D)
	$(CC) $(SHARED) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LDLIBS)

# Links again when a file went away.
OBJECTS := $(strip $(RT_OBJ) $(KERN_OBJ) $(BIND_OBJ))
ifneq ($(shell cat $(OBJ)/objects 2>/dev/null || echo none),$(OBJECTS))
$(shell mkdir -p $(OBJ) && echo '$(OBJECTS)' >$(OBJ)/objects)
endif

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# ---- C self-tests: each file of spec/c/ is a program over the runtime ------

cspec: $(CSPEC)
$(B)/spec/%: spec/c/%.c $(RT_OBJ) $(KERN_OBJ) $(wildcard spec/c/*.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(RT) -Ispec/c $(CFLAGS) -o $@ $< $(RT_OBJ) $(KERN_OBJ) $(LDLIBS)

# ---- CUDA plugin ----------------------------------------------------------

NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_SRC := $(sort $(wildcard cuda/*.cu))
PLUGIN := $(LIB)/libmoontorch_cuda.so
NVCCFLAGS ?= -O3
ifneq ($(filter no,$(CUDA))$(SAN),)
cuda:
else ifeq ($(strip $(NVCC)),)
cuda:
ifeq ($(CUDA),yes)
	@echo "CUDA=yes, but there is no nvcc (put it on PATH or set NVCC)" >&2; exit 1
endif
else ifeq ($(strip $(CUDA_SRC)),)
cuda:
else
CUDA_OBJ := $(CUDA_SRC:%.cu=$(OBJ)/%.cu.o)
# What this nvcc knows of the architectures we want, and PTX of the last for newer ones.
CUDA_KNOWN := $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch 2>/dev/null))
CUDA_ARCHS ?= $(foreach a,75 80 86 89 90 100 120,$(filter $(a),$(CUDA_KNOWN)))
CUDA_CODE := $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
  $(foreach a,$(lastword $(CUDA_ARCHS)),-gencode arch=compute_$(a),code=compute_$(a))
# Many architectures' code compresses to a seventh (nvcc 12.8 and later know how).
CUDA_SMALL := $(if $(findstring compress-mode,$(shell $(NVCC) --help 2>/dev/null)),-compress-mode size)
cuda: $(PLUGIN)
$(OBJ)/cuda/%.cu.o: cuda/%.cu | $(GENERATED)
	@mkdir -p $(@D)
	$(NVCC) -std=c++17 $(NVCCFLAGS) $(CUDA_SMALL) $(CUDA_CODE) -Iruntime -I$(GEN) -Icuda \
	  -Xcompiler -fPIC,-fvisibility=hidden -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
$(PLUGIN): $(CUDA_OBJ)
	@mkdir -p $(@D)
	$(NVCC) -shared -cudart static $(CUDA_SMALL) $(CUDA_CODE) -Xlinker -z,nodelete -o $@ $^ -ldl -lpthread
endif

# ---- the CUDA plugin on the host, to run its kernels in tests without a GPU ----
#
#   make cuda-emulated && MOONTORCH_CUDA_PLUGIN=$PWD/build/emulated/libmoontorch_cuda.so \
#     busted --run cuda spec/cuda

EMULATED := $(B)/emulated
EMULATED_OBJ := $(patsubst cuda/%.cu,$(EMULATED)/%.o,$(CUDA_SRC)) $(EMULATED)/emulate.o
EMULATED_FLAGS := -std=gnu++17 -O1 -g -ffp-contract=off -fPIC -fvisibility=hidden -Icuda/emulate -Iruntime -I$(GEN) -Icuda
.PHONY: cuda-emulated
cuda-emulated: $(EMULATED)/libmoontorch_cuda.so
$(EMULATED)/%.o: cuda/%.cu | $(GENERATED)
	@mkdir -p $(@D)
	$(CXX) -x c++ $(EMULATED_FLAGS) -MMD -MP -c -o $@ $<
$(EMULATED)/emulate.o: cuda/emulate/emulate.cc
	@mkdir -p $(@D)
	$(CXX) $(EMULATED_FLAGS) -MMD -MP -c -o $@ $<
$(EMULATED)/libmoontorch_cuda.so: $(EMULATED_OBJ)
	$(CXX) -shared -o $@ $^ -ldl -lpthread
-include $(EMULATED_OBJ:.o=.d)

# ---- tests ----------------------------------------------------------------

check: format-check lint test

test: all cspec
	./test.sh --built $(if $(SAN),--san $(SAN)) --build $(B)

lint:
	luacheck -q lua bindings examples spec bench runtime/gen.lua

FORMATTED := $(wildcard runtime/*.[ch] runtime/*/*.[ch] bindings/*.[ch] spec/c/*.[ch] cuda/*.cu cuda/*.cuh)
CLANG_FORMAT ?= clang-format
format:
	$(CLANG_FORMAT) -i $(FORMATTED)
format-check:
	$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

# Bytes by file, and of the stripped module.
size: $(LIB)/core.so
	@size $(OBJECTS) | awk 'NR > 1 { n = $$6; sub(/^.*obj\//, "", n); sub(/\.(base|avx2|avx512)\.o$$|\.o$$/, "", n); s[n] += $$4 } \
	  END { for (n in s) printf "%8d  %s\n", s[n], n }' | sort -rn
	@strip -o $(B)/core.stripped $< && wc -c <$(B)/core.stripped | sed 's/$$/  stripped core.so/' && rm $(B)/core.stripped

# ---- installing -----------------------------------------------------------

INST_LIBDIR ?= $(PREFIX)/lib/lua/5.1
INST_LUADIR ?= $(PREFIX)/share/lua/5.1
INST_BINDIR ?= $(PREFIX)/bin
INST_INCDIR ?= $(PREFIX)/include/moontorch

install: all
	mkdir -p $(DESTDIR)$(INST_LIBDIR)/moontorch $(DESTDIR)$(INST_LUADIR) $(DESTDIR)$(INST_BINDIR)
	install -m 755 $(wildcard $(LIB)/core.so $(PLUGIN)) $(DESTDIR)$(INST_LIBDIR)/moontorch/
	cd lua && find moontorch -name '*.lua' | while read -r f; do \
	  mkdir -p "$(DESTDIR)$(INST_LUADIR)/$${f%/*}" && \
	  install -m 644 "$$f" "$(DESTDIR)$(INST_LUADIR)/$$f" || exit 1; done
	install -m 755 bin/moontorch $(DESTDIR)$(INST_BINDIR)/moontorch
	$(if $(INST_INCDIR),mkdir -p $(DESTDIR)$(INST_INCDIR) && install -m 644 runtime/moontorch.h \
	  runtime/tensor.h runtime/op.h runtime/device.h $(GEN)/moontorch_ops.h $(DESTDIR)$(INST_INCDIR)/)

uninstall:
	rm -rf $(DESTDIR)$(INST_LIBDIR)/moontorch $(DESTDIR)$(INST_LUADIR)/moontorch \
	  $(if $(INST_INCDIR),$(DESTDIR)$(INST_INCDIR))
	rm -f $(DESTDIR)$(INST_BINDIR)/moontorch

clean:
	rm -rf build build-*
