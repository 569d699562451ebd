-- What the samples of the op table are too small for: sizes that take more than one block, segment or
-- chunk, odd layouts, repeated positions, random bits, optimizers, and errors that the device notes.
local H = require "spec.helper"
local torch = H.torch

local available = torch.cuda.is_available()
local options = { rtol = 1e-5, atol = 1e-5 }

-- fn on the CPU and on the device gives the same; arguments are tensors.
local function same(what, fn, ...)
  local here, there = { ... }, {}
  for k, x in ipairs(here) do there[k] = torch.is_tensor(x) and x:to("cuda") or x end
  local wanted, got = { fn(unpack(here)) }, { fn(unpack(there)) }
  for k = 1, #wanted do
    assert(tostring(got[k].device):sub(1, 4) == "cuda", what .. ": the result is not on the device")
    H.close(got[k]:to("cpu"), wanted[k], { rtol = options.rtol, atol = options.atol, what = what })
  end
end

describe("CUDA kernels #cuda", function()
  if not available then
    pending("there is no CUDA device here: nothing was run")
    return
  end
  before_each(function() torch.manual_seed(3) end)

  it("reduce many numbers to few and few to many", function()
    local x = torch.randn(70, 900, { dtype = torch.float64 })
    same("sum", function(v) return v:sum(), v:sum(1), v:sum(2), v:t():sum(1) end, x)
    same("max", function(v) return v:max(1) end, x)
    same("argmax", function(v) return v:argmax(), v:argmax(2), v:t():argmax() end, x)
    same("var", function(v) return v:var(), v:std(1), v:logsumexp(2) end, x)
    same("norm", function(v) return v:norm(), v:norm(1, 2), v:norm(3, 1) end, x)
    local long = torch.randn(40000, { dtype = torch.float64 })
    same("long", function(v) return v:sum(), v:mean(), v:max(), v:prod(), v:cumsum(1):sum() end, long)
    local deep = torch.randn(3, 5, 700, 4, { dtype = torch.float64 })
    same("deep", function(v) return v:sum({ 1, 3 }), v:amax({ 3, 4 }), v:mean({ 2 }) end, deep)
  end)

  it("copy any layout", function()
    local x = torch.randn(37, 65)
    same("transposed", function(v) return v:t():contiguous(), v:t():clone() + 0 end, x)
    same("cast", function(v) return v:t():to(torch.float16), v:to(torch.int32), v:gt(0) end, x)
    local y = torch.randn(6, 7, 8)
    same("permuted", function(v) return v:permute(3, 1, 2):contiguous(), v:permute(2, 3, 1):to(torch.float64) end, y)
    local a, b = torch.zeros(5, 6), torch.zeros(5, 6, { device = "cuda" })
    local from = torch.randn(6, 5)
    a:t():copy_(from)
    b:t():copy_(from) -- from the host into a transposed view
    H.same(b:to("cpu"), a)
    local back = torch.zeros(6, 5)
    back:t():copy_(b) -- and back
    H.same(back:t():contiguous(), a)
  end)

  it("sort, and pick the largest", function()
    local x = torch.randn(3, 1500)
    same("sort", function(v) return v:sort(2), v:sort(1, true) end, x)
    same("topk", function(v) return v:topk(7, 2) end, x)
    same("ties", function(v) return v:sort(2) end, torch.randint(1, 5, { 4, 700 }))
    same("median", function(v) return v:median(2) end, x)
  end)

  it("scan long lines", function()
    local x = torch.rand(5, 1000, { dtype = torch.float64 }) + 0.5
    same("cumsum", function(v) return v:cumsum(2), v:t():cumsum(1) end, x)
    same("cummax", function(v) return v:cummax(2) end, x - 1)
  end)

  it("write repeated positions in their order", function()
    local index = torch.randint(1, 20, { 3000 })
    local source = torch.randn(3000, 3)
    same("index_add", function(i, s)
      return torch.zeros(20, 3, { device = s.device }):index_add(1, i, s)
    end, index, source)
    same("index_copy", function(i, s)
      return torch.zeros(20, 3, { device = s.device }):index_copy(1, i, s)
    end, index, source)
    same("scatter_add", function(i, s)
      return torch.zeros(20, { device = s.device }):scatter_add(1, i, s:select(2, 1))
    end, index, source)
    same("scatter", function(i, s)
      return torch.zeros(20, { device = s.device }):scatter(1, i, s:select(2, 1):contiguous())
    end, index, source)
    same("embedding", function(i, w) return torch.nn.functional.embedding(i, w) end, index, torch.randn(20, 4))
  end)

  it("multiply matrices of any layout", function()
    local a, b = torch.randn(33, 47, { dtype = torch.float64 }), torch.randn(47, 29, { dtype = torch.float64 })
    same("mm", function(x, y) return x:mm(y), y:t():mm(x:t()), x:t():contiguous():t():mm(y) end, a, b)
    local c, d = torch.randn(4, 1, 5, 6, { dtype = torch.float64 }), torch.randn(3, 6, 7, { dtype = torch.float64 })
    same("batched", function(x, y) return x:matmul(y) end, c, d)
    same("strided", function(x, y) return x[{ {}, { 1, -1, 2 } }]:mm(y[{ { 1, -1, 2 } }]) end, a, b)
    same("whole", function(x, y) return x:mm(y) end, torch.randint(-9, 9, { 20, 30 }), torch.randint(-9, 9, { 30, 10 }))
    same("half", function(x, y) return x:to(torch.float16):mm(y:to(torch.float16)):float():mul(0.01):round() end, a, b)
  end)

  it("convolve, with many groups too", function()
    local F = torch.nn.functional
    local function check(x, w, args)
      x.requires_grad, w.requires_grad = true, true
      local y = F.conv2d(x, w, nil, unpack(args))
      y:square():sum():backward()
      local cx, cw = x:detach():to("cuda"), w:detach():to("cuda")
      cx.requires_grad, cw.requires_grad = true, true
      local cy = F.conv2d(cx, cw, nil, unpack(args))
      cy:square():sum():backward()
      H.close(cy:detach():to("cpu"), y:detach(), options)
      H.close(cx.grad:to("cpu"), x.grad, { rtol = 1e-4, atol = 1e-4 })
      H.close(cw.grad:to("cpu"), w.grad, { rtol = 1e-4, atol = 1e-4 })
    end
    check(torch.randn(3, 4, 9, 10), torch.randn(6, 4, 3, 3), { 2, 1 })
    check(torch.randn(2, 16, 6, 6), torch.randn(16, 1, 3, 3), { 1, 1, 1, 16 })
    check(torch.randn(2, 6, 5, 5), torch.randn(4, 6, 1, 1), {})
  end)

  it("draw the CPU's random numbers", function()
    local function draw(device)
      torch.manual_seed(11)
      local o = { device = device }
      local d = { device = device, dtype = torch.float64 }
      local list = {
        torch.rand(1001, o), torch.rand(35, d), torch.randint(-5, 9000, { 77 }, o), torch.randperm(1300, o),
        torch.full({ 501 }, 0.3, o):bernoulli(), torch.nn.functional.dropout(torch.ones(999, o), 0.4, true),
        torch.zeros(20, 30, o):t():uniform_(-2, 3),
      }
      local normal = { torch.randn(1003, o), torch.randn(101, d), torch.zeros(64, o):exponential_(2) }
      return list, normal
    end
    local a, m = draw("cpu")
    local b, n = draw("cuda")
    for k = 1, #a do H.same(b[k]:to("cpu"), a[k], "draw " .. k) end
    for k = 1, #m do H.close(n[k]:to("cpu"), m[k], { rtol = 1e-6, atol = 1e-6, what = "draw " .. k }) end
  end)

  it("step optimizers", function()
    for _, make in ipairs {
      function(p) return torch.optim.SGD(p, { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01 }) end,
      function(p) return torch.optim.Adam(p, { lr = 0.01, amsgrad = true }) end,
      function(p) return torch.optim.AdamW(p, { lr = 0.01, weight_decay = 0.1 }) end,
    } do
      local results = {}
      for _, device in ipairs { "cpu", "cuda" } do
        torch.manual_seed(5)
        local params = { torch.randn(40, 30):to(device), torch.randn(7):to(device), torch.randn(3, 5):t():to(device) }
        for _, p in ipairs(params) do p.requires_grad = true end
        local optimizer = make(params)
        for _ = 1, 3 do
          optimizer:zero_grad()
          local loss = 0
          for _, p in ipairs(params) do loss = loss + (p * p * p):sum() end
          loss:backward()
          optimizer:step()
        end
        results[device] = params
      end
      for k, p in ipairs(results.cpu) do
        H.close(results.cuda[k]:detach():to("cpu"), p:detach(), { rtol = 1e-5, atol = 1e-6 })
      end
    end
  end)

  it("say later what only the device saw", function()
    local x = torch.randn(4, 3, { device = "cuda" })
    H.raises(function()
      local y = x:index_select(1, torch.tensor({ 9 }, { dtype = torch.int64, device = "cuda" }))
      torch.cuda.synchronize()
      return y
    end, "index 9", "size 4")
    H.raises(function()
      local y = torch.tensor({ 3 }, { dtype = torch.int64, device = "cuda" })
        :floor_divide(torch.zeros(1, { dtype = torch.int64, device = "cuda" }))
      torch.cuda.synchronize()
      return y
    end, "ZeroDivisionError")
    H.raises(function()
      local classes = torch.tensor({ 1, 2, 3, 4 }, { dtype = torch.int64, device = "cuda" })
      return torch.nn.functional.cross_entropy(x, classes):item()
    end, "classes are 1..3")
    torch.cuda.synchronize() -- told once
  end)

  it("take numbers of the host, and refuse its tensors", function()
    local x = torch.randn(3, 4)
    same("a number of the host", function(v) return v * torch.tensor(2.5), v + torch.tensor(1) end, x)
    H.raises(function() return x:to("cuda") + x end, "same device")
  end)

  it("train a network to the CPU's losses", function()
    local losses = {}
    for _, device in ipairs { "cpu", "cuda" } do
      torch.manual_seed(2)
      local nn = torch.nn
      local model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 3)):to(device)
      local x, y = torch.randn(32, 8):to(device), torch.randint(1, 4, { 32 }):to(device)
      local optimizer = torch.optim.Adam(model:parameters(), { lr = 0.01 })
      local list = {}
      for k = 1, 5 do
        optimizer:zero_grad()
        local loss = torch.nn.functional.cross_entropy(model(x), y)
        loss:backward()
        optimizer:step()
        list[k] = loss:item()
      end
      losses[device] = list
    end
    for k = 1, 5 do
      assert(H.near(losses.cuda[k], losses.cpu[k], 1e-4, 1e-5),
        ("step %d: %g, the CPU has %g"):format(k, losses.cuda[k], losses.cpu[k]))
    end
  end)
end)
