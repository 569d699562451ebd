-- cases.lua: what is measured. Names, shapes, dtypes, what stands inside the timed region and how
-- bytes and flops are counted are those of the peer's script, case by case.
local M = require "bench.measure"

local groups = {}

-- ---- a: from the start of the process to the first tensor, and resident memory ----

local startup = {
  { "luajit_bare", "print(0)" },
  { "import_first_tensor",
    'local torch = require "moontorch"; local t = torch.ones(4); print(t[1]:item())' },
  { "import_first_backward",
    'local torch = require "moontorch"; local t = torch.ones(4, {requires_grad = true}); '
      .. "(t * t):sum():backward(); print(t.grad[1]:item())" },
}

function groups.a()
  local tail = '; io.stdout:flush(); for l in io.lines("/proc/self/status") do '
    .. 'local kb = l:match("VmHWM:%s*(%d+)"); if kb then print(kb) end end'
  for _, case in ipairs(startup) do
    local name, code = case[1], case[2]
    if M.wanted(name) then
      local program = name == "luajit_bare" and "luajit" or "bin/moontorch"
      if program ~= "luajit" then code = code:gsub("^local torch = require \"moontorch\"; ", "") end
      local walls, rss = {}, {}
      local other = M.watch(function()
        for rep = 0, M.reps do
          local t0 = M.now()
          local p = io.popen(("exec %s -e '%s'"):format(program, code .. tail))
          p:read("*l") -- the tensor exists
          local t1 = M.now()
          local kb = tonumber(p:read("*l"))
          p:close()
          if rep > 0 then -- the first one warms the file cache
            walls[rep], rss[rep] = 1e3 * (t1 - t0), kb / 1024
          end
        end
      end)
      M.emit(name, "ms", walls, other)
      M.emit(name .. "_rss", "MB", rss, other)
    end
  end
end

-- ---- b: what one op costs on four elements, in ns ----

local function optimizers(torch)
  local sgd = function(p) return torch.optim.SGD(p, { lr = 1e-3 }) end
  local adam = function(p) return torch.optim.Adam(p, { lr = 1e-3 }) end
  -- ours are always fused; both of the peer's names are measured
  return { sgd = sgd, adam = adam, sgd_fused = sgd, adam_fused = adam }
end

function groups.b(torch)
  local x, y = torch.randn(4), torch.randn(4)
  local gx = torch.randn(4, { requires_grad = true })
  local gy = torch.randn(4, { requires_grad = true })
  local m, w = torch.randn(4, 4), torch.randn(4, 4)
  local gm = torch.randn(4, 4, { requires_grad = true })
  local gw = torch.randn(4, 4, { requires_grad = true })
  local out = torch.empty(4)
  local _ -- luacheck: ignore

  local function chain_forward(v) -- exactly ten operations
    v = v * 1.5
    v = v + y
    v = torch.tanh(v)
    v = v - 0.1
    v = v * y
    v = torch.sigmoid(v)
    v = torch.exp(v)
    v = torch.relu(v)
    v = v + 1.0
    return v:sum()
  end

  M.ns("empty_loop", function(n) for _ = 1, n do end end)
  M.ns("add4", function(n) for _ = 1, n do _ = x + y end end)
  M.ns("add4_out", function(n)
    local f, opts = torch.add, { out = out }
    for _ = 1, n do f(x, y, opts) end
  end)
  M.ns("add4_grad", function(n) for _ = 1, n do _ = gx + gy end end)
  M.ns("matmul4x4", function(n) for _ = 1, n do _ = m:matmul(w) end end)
  M.ns("matmul4x4_grad", function(n) for _ = 1, n do _ = gm:matmul(gw) end end)
  M.ns("slice_view", function(n) for _ = 1, n do _ = x[{ { 2, 3 } }] end end)
  M.ns("sum4", function(n) for _ = 1, n do _ = x:sum() end end)
  M.ns("item", function(n)
    local s = x:sum()
    for _ = 1, n do s:item() end
  end)
  M.ns("chain10_fwd", function(n) for _ = 1, n do chain_forward(x) end end, 10)
  M.ns("chain10_fwd_bwd", function(n)
    for _ = 1, n do
      chain_forward(gx):backward()
      gx.grad = nil
    end
  end, 10)

  local lin = torch.nn.Linear(4, 4)
  M.ns("nn_linear4_grad", function(n) for _ = 1, n do lin(m) end end)

  local make = optimizers(torch)
  for _, name in ipairs { "sgd", "adam", "sgd_fused", "adam_fused" } do
    local params = {}
    for i = 1, 10 do
      params[i] = torch.randn(4, { requires_grad = true })
      params[i].grad = torch.randn(4)
    end
    local opt = make[name](params)
    M.ns(name .. "_step_10params", function(n) for _ = 1, n do opt:step() end end)
  end
end

-- ---- c: bound by memory ----

local function elementwise(torch, tag, n, rows)
  local F = torch.nn.functional
  local cols = n / rows
  local x, y, out = torch.randn(n), torch.randn(n), torch.empty(n)
  local x2 = x:view(rows, cols)
  local row, col = torch.randn(cols), torch.randn(rows, 1)
  local gamma, beta = torch.ones(cols), torch.zeros(cols)
  local B = 4 * n -- bytes of one tensor
  local shape = { { "shape", { rows, cols } } }
  -- plain spelling: every call allocates its result
  M.gbs("add_" .. tag, function() return x + y end, 3 * B)
  M.gbs("mul_" .. tag, function() return x * y end, 3 * B)
  M.gbs("exp_" .. tag, function() return torch.exp(x) end, 2 * B)
  M.gbs("tanh_" .. tag, function() return torch.tanh(x) end, 2 * B)
  M.gbs("gelu_" .. tag, function() return F.gelu(x) end, 2 * B)
  M.gbs("softmax_" .. tag, function() return torch.softmax(x2, -1) end, 2 * B, shape)
  M.gbs("layer_norm_" .. tag, function() return F.layer_norm(x2, { cols }, gamma, beta) end, 2 * B, shape)
  M.gbs("sum_" .. tag, function() return x:sum() end, B)
  M.gbs("sum_dim0_" .. tag, function() return x2:sum(1) end, B, shape)
  M.gbs("broadcast_add_row_" .. tag, function() return x2 + row end, 2 * B, shape)
  M.gbs("broadcast_add_col_" .. tag, function() return x2 + col end, 2 * B, shape)
  -- result memory given: the kernel alone
  local to = { out = out }
  M.gbs("add_out_" .. tag, function() torch.add(x, y, to) end, 3 * B)
  M.gbs("exp_out_" .. tag, function() torch.exp(x, to) end, 2 * B)
  M.gbs("tanh_out_" .. tag, function() torch.tanh(x, to) end, 2 * B)
  M.gbs("copy_" .. tag, function() out:copy_(x) end, 2 * B)
  M.gbs("fma_tanh_unfused_" .. tag, function() return torch.tanh(x * y + x) end, 3 * B)
end

function groups.c(torch)
  torch.set_grad_enabled(false)
  elementwise(torch, "16M", 2 ^ 24, 2 ^ 14) -- rows of 1024
  elementwise(torch, "64K", 2 ^ 16, 2 ^ 7) -- rows of 512; in L2
  local s = 2 ^ 12
  local p, q, out = torch.randn(s, s), torch.randn(s, s), torch.empty(s, s)
  local B, shape, to = 4 * s * s, { { "shape", { s, s } } }, { out = out }
  M.gbs("transpose_add_16M", function() return p + q:t() end, 3 * B, shape)
  M.gbs("transpose_add_out_16M", function() torch.add(p, q:t(), to) end, 3 * B, shape)
  M.gbs("transpose_copy_16M", function() out:copy_(q:t()) end, 2 * B, shape)
end

-- ---- d: matrix products ----

function groups.d(torch)
  torch.set_grad_enabled(false)

  local function gemm(case, m, k, n, opts)
    opts = opts or {}
    if not M.wanted(case) then return end
    local a = opts.ta and torch.randn(k, m):t() or torch.randn(m, k)
    local w = opts.tb and torch.randn(n, k):t() or torch.randn(k, n)
    if opts.dtype then a, w = a:to(opts.dtype), w:to(opts.dtype) end
    M.gflops(case, function() return a:matmul(w) end, 2 * m * k * n, { { "mkn", { m, k, n } } })
  end

  for _, s in ipairs { 16, 32, 64, 128, 256, 512, 1024, 2048 } do gemm("gemm_" .. s, s, s, s) end
  -- the products of a 784-512 layer at batch 64: forward, input and weight gradient
  gemm("gemm_mlp_fwd", 64, 784, 512, { tb = true })
  gemm("gemm_mlp_dx", 64, 512, 784)
  gemm("gemm_mlp_dw", 512, 64, 784, { ta = true })
  -- tall and skinny
  gemm("gemm_16384x64x64", 16384, 64, 64)
  gemm("gemm_65536x16x16", 65536, 16, 16)
  gemm("gemm_64x16384x64", 64, 16384, 64)
  gemm("gemm_1024x384x1536", 1024, 384, 1536, { tb = true })
  gemm("gemv_1x2048x2048", 1, 2048, 2048)
  for _, c in ipairs { { 48, 128, 64, 128 }, { 48, 128, 128, 64 }, { 256, 32, 32, 32 }, { 4096, 8, 8, 8 } } do
    local case = ("bmm_%dx%dx%dx%d"):format(unpack(c))
    if M.wanted(case) then
      local x, y = torch.randn(c[1], c[2], c[3]), torch.randn(c[1], c[3], c[4])
      M.gflops(case, function() return torch.bmm(x, y) end, 2 * c[1] * c[2] * c[3] * c[4], { { "mkn", c } })
    end
  end
  for _, s in ipairs { 512, 2048 } do gemm("gemm_bf16_" .. s, s, s, s, { dtype = torch.bfloat16 }) end
end

-- ---- f: training steps: forward, loss, backward, optimizer; samples/s ----

-- 784-512-512-10, ReLU, cross entropy, batch 64
local function mlp(torch, opt)
  local nn = torch.nn
  local model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
    nn.Linear(512, 10))
  local x, y = torch.randn(64, 784), torch.randint(1, 11, { 64 })
  return model, optimizers(torch)[opt](model:parameters()), x, y, nn.CrossEntropyLoss(), 64
end

-- 1-5-5-5-1, tanh, mean squared error, batch 32: nothing but overhead
local function sine(torch, opt)
  local nn = torch.nn
  local model = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(),
    nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1))
  local x = torch.linspace(-3, 3, 32):unsqueeze(2)
  return model, optimizers(torch)[opt](model:parameters()), x, torch.sin(x), nn.MSELoss(), 32
end

-- LeNet-5 with ReLU and max pooling, 28x28 input padded by 2, SGD with momentum, batch 64
local function lenet(torch)
  local nn = torch.nn
  local model = nn.Sequential(
    nn.Conv2d(1, 6, 5, { padding = 2 }), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
  local opt = torch.optim.SGD(model:parameters(), { lr = 0.01, momentum = 0.9 })
  return model, opt, torch.randn(64, 1, 28, 28), torch.randint(1, 11, { 64 }), nn.CrossEntropyLoss(), 64
end

local train = {
  { "sine_mlp_adam", function(t) return sine(t, "adam") end },
  { "sine_mlp_adam_fused", function(t) return sine(t, "adam_fused") end },
  { "mlp_sgd", function(t) return mlp(t, "sgd") end },
  { "mlp_adam", function(t) return mlp(t, "adam") end },
  { "mlp_adam_fused", function(t) return mlp(t, "adam_fused") end },
  { "lenet5", lenet },
}

local training = {}
for i, c in ipairs(train) do training[i] = c[1] end

function groups.f(torch, only)
  for _, c in ipairs(train) do
    local case = c[1]
    if case == only then
      local model, opt, x, y, loss_fn, batch = c[2](torch)
      local function step()
        opt:zero_grad()
        loss_fn(model(x), y):backward()
        opt:step()
      end
      local before, t0 = M.peak_rss_mb(), M.now()
      step()
      local first, params = M.now() - t0, 0
      for _, p in ipairs(model:parameters()) do params = params + p:numel() end
      M.samples(case, step, batch, { { "params", params }, { "rss_before_mb", before },
        { "first_step_ms", 1e3 * first } })
      M.emit(case .. "_peak_rss", "MB", { M.peak_rss_mb() })
    end
  end
end

return { groups = groups, training = training }
