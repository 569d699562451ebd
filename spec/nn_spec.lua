-- nn.Module: registration, walking, state, hooks, printing, error paths; layers and losses.
local H = require "spec.helper"
local torch = H.torch
local nn, F = torch.nn, torch.nn.functional

local function names(iterator)
  local list = {}
  for name in iterator do list[#list + 1] = name end
  return list
end

local Net, parent = torch.class("Net", nn.Module)

function Net:__init(n_in, n_out)
  parent.__init(self)
  self.fc1 = nn.Linear(n_in, 5)
  self.scale = nn.Parameter(torch.ones(1))
  self.fc2 = nn.Linear(5, n_out, { bias = false })
  self.mean = nn.Buffer(torch.zeros(2))
  self.plain = torch.ones(3)
  self.p_keep = 0.7
end

function Net:forward(x)
  return self.fc2(F.relu(self.fc1(x))) * self.scale
end

describe("nn.Module", function()
  it("registers by assignment, in order", function()
    local net = Net(4, 3)
    assert.same({ "scale", "fc1.weight", "fc1.bias", "fc2.weight" }, names(net:named_parameters()))
    assert.equals(4, #net:parameters())
    assert.same({ "mean" }, names(net:named_buffers()))
    assert.same({ "fc1", "fc2" }, names(net:named_children()))
    assert.same({ "", "fc1", "fc2" }, names(net:named_modules()))
    assert.equals(0.7, net.p_keep)
    assert.equals(3, #net:modules())
  end)

  it("forgets what is assigned away, and keeps kinds apart", function()
    local net = Net(4, 3)
    net.fc1 = nil
    assert.same({ "scale", "fc2.weight" }, names(net:named_parameters()))
    H.raises(function() net.scale = torch.ones(1) end, "nn_spec.lua:", "cannot assign a tensor as parameter 'scale'")
    net.mean = torch.ones(2)
    assert.same({ "mean" }, names(net:named_buffers()))
    net.scale = nil
    assert.same({ "fc2.weight" }, names(net:named_parameters()))
    H.raises(function() net.parameters = nn.ReLU() end, "already exists")
  end)

  it("walks plain tables of modules", function()
    local net = nn.Module()
    net.blocks = { nn.Linear(1, 1), nn.Linear(1, 1), extra = nn.ReLU(), deep = { nn.Linear(2, 2) } }
    assert.same({ "blocks.1", "blocks.2", "blocks.deep.1", "blocks.extra" }, names(net:named_children()))
    net.blocks[3] = nn.Linear(1, 1)
    assert.equals(8, #net:parameters())
    assert.truthy(net:state_dict()["blocks.3.weight"])
    assert.truthy(net:state_dict { layout = "pytorch" }["blocks.deep.0.weight"])
  end)

  it("counts a shared module once", function()
    local fc = nn.Linear(2, 2)
    local net = nn.Sequential(fc, nn.ReLU(), fc)
    assert.equals(2, #net:parameters())
    assert.equals(3, net:len())
    assert.equals(4, #names(net:named_children()) + 1)
  end)

  it("trains and evaluates, freezes, applies", function()
    local net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    assert.is_true(net.training)
    net:eval()
    assert.is_false(net[2].training)
    local x = torch.ones(1, 2)
    H.same(net(x):detach(), net(x):detach())
    net:train()
    assert.is_true(net[2].training)
    net:requires_grad_(false)
    assert.is_false(net[1].weight.requires_grad)
    local seen = {}
    net:apply(function(m) seen[#seen + 1] = torch.typename(m) end)
    assert.same({ "nn.Linear", "nn.Dropout", "nn.Sequential" }, seen)
  end)

  it("casts parameters in place", function()
    local net = Net(4, 3)
    local w = net.fc1.weight
    net(torch.ones(1, 4)):sum():backward()
    net:double()
    assert.is_true(rawequal(w, net.fc1.weight) or w == net.fc1.weight)
    assert.equals(torch.float64, w.dtype)
    assert.equals(torch.float64, w.grad.dtype)
    assert.equals(torch.float64, net.mean.dtype)
    assert.equals(torch.float64, net(torch.ones(1, 4):double()).dtype)
    net:float()
    assert.equals(torch.float32, net.fc2.weight.dtype)
    H.raises(function() net:to(torch.int64) end, "floating point")
    net:zero_grad()
    assert.is_nil(w.grad)
  end)

  it("saves and loads state, whole or not at all", function()
    local a, b = Net(4, 3), Net(4, 3)
    assert.equals("<All keys matched successfully>", tostring(b:load_state_dict(a:state_dict())))
    H.same(b.fc1.weight:detach(), a.fc1.weight:detach())
    local state = a:state_dict()
    state["fc1.weight"], state.strange = torch.zeros(2, 2), torch.zeros(1)
    state["fc1.bias"] = torch.full({ 5 }, 9)
    state.scale = nil
    H.raises(function() b:load_state_dict(state) end, "nn_spec.lua:", "Error(s) in loading state_dict for Net",
      'Missing key(s) in state_dict: "scale"', 'Unexpected key(s) in state_dict: "strange"',
      "size mismatch for fc1.weight: copying a param with shape torch.Size({2, 2}) from checkpoint, "
        .. "the shape in current model is torch.Size({5, 4})")
    H.same(b.fc1.bias:detach(), a.fc1.bias:detach())
    state["fc1.weight"] = a.fc1.weight:detach()
    local result = b:load_state_dict(state, { strict = false })
    assert.same({ "scale" }, result.missing_keys)
    assert.same({ "strange" }, result.unexpected_keys)
    assert.equals(9, b.fc1.bias[1]:item())
  end)

  it("names Sequential's children from 1, and as PyTorch does where asked", function()
    local net = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Sequential(nn.Linear(2, 1)))
    assert.same({ "1.weight", "1.bias", "3.1.weight", "3.1.bias" }, names(net:named_parameters()))
    local theirs = net:state_dict { layout = "pytorch" }
    assert.truthy(theirs["0.weight"] and theirs["2.0.bias"])
    net:load_state_dict(theirs, { layout = "pytorch" })
    H.raises(function() net:load_state_dict(theirs) end, '"0.weight"')
  end)

  it("runs hooks around forward", function()
    local net, log = nn.Linear(2, 2), {}
    local pre = net:register_forward_pre_hook(function(_, inputs) log[#log + 1] = #inputs return inputs[1] * 0 end)
    local post = net:register_forward_hook(function(_, _, y) return y + 100 end)
    H.close(net(torch.ones(1, 2)):detach(), (net.bias:detach() + 100):view(1, 2))
    pre:remove()
    post:remove()
    post:remove()
    assert.is_true(net(torch.ones(1, 2)):max():item() < 50)
    assert.same({ 1 }, log)
  end)

  it("keeps several results", function()
    local Two = torch.class("Two", nn.Module)
    function Two:forward(x, y) return y, nil, x end
    local a, b, c = Two()(1, 2)
    assert.same({ 2, nil, 1 }, { a, b, c })
    H.raises(function() nn.Module()(1) end, "no forward method")
  end)

  it("keeps tensors assigned inside a scope", function()
    local net = Net(4, 3)
    torch.scope(function() net.plain = torch.full({ 2 }, 5) end)
    assert.equals(5, net.plain[1]:item())
  end)

  it("prints PyTorch's tree", function()
    local net = Net(4, 3)
    net.list = nn.ModuleList(nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU())
    net.seq = nn.Sequential(nn.Conv2d(1, 6, 5, { padding = 2, bias = false }), nn.MaxPool2d(2), nn.Flatten())
    assert.equals([[
Net(
  (fc1): Linear(in_features=4, out_features=5, bias=true)
  (fc2): Linear(in_features=5, out_features=3, bias=false)
  (list): ModuleList(
    (1-2): 2 x Linear(in_features=2, out_features=2, bias=true)
    (3): ReLU()
  )
  (seq): Sequential(
    (1): Conv2d(1, 6, kernel_size={5, 5}, stride={1, 1}, padding={2, 2}, bias=false)
    (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=false)
    (3): Flatten(start_dim=2, end_dim=-1)
  )
)]], tostring(net))
    assert.equals("Sequential()", tostring(nn.Sequential()))
    assert.equals("Dropout(p=0.1, inplace=false)", tostring(nn.Dropout(0.1)))
  end)

  it("puts the module's path in front of errors", function()
    local model = nn.Sequential(nn.ReLU(), nn.Linear(512, 10))
    H.raises(function() model(torch.ones(64, 784)) end, "nn_spec.lua:",
      "in model.2 (nn.Linear(512 -> 10)): linear: ", "784", "512")
    local outer = nn.Module()
    outer.net = { model }
    function outer.forward(self, x) return self.net[1](x) end
    H.raises(function() outer(torch.ones(64, 784)) end, "in outer.net.1.2 (nn.Linear(512 -> 10)): ")
  end)

  it("reads layers' arguments by position and by name", function()
    assert.is_nil(nn.Linear(2, 3, false).bias)
    assert.is_nil(nn.Linear(2, 3, { bias = false }).bias)
    assert.equals(3, nn.Linear { in_features = 2, out_features = 3 }.out_features)
    H.raises(function() nn.Linear(2) end, "nn_spec.lua:", "nn.Linear: missing argument 'out_features'")
    H.raises(function() nn.Linear(2, 3, { bais = false }) end, "unknown keyword 'bais'", "did you mean 'bias'?")
    H.raises(function() nn.Linear(2, 3, { out_features = 3 }) end, "'out_features' is given twice")
    H.raises(function() nn.Linear(2, "3") end, "out_features must be a whole number, got '3'")
    H.raises(function() nn.Linear(2, 3, true, nil, nil, 6) end, "at most 5 positional")
  end)
end)

describe("layers", function()
  it("start with PyTorch's weights: uniform within one over the root of fan in", function()
    torch.manual_seed(1)
    local fc = nn.Linear(400, 300)
    for _, p in ipairs { fc.weight, fc.bias } do
      assert.is_true(p:abs():max():item() <= 1 / 20)
      assert.is_true(p:abs():max():item() > 0.97 / 20)
      assert.is_true(math.abs(p:mean():item()) < 0.01)
    end
    local conv = nn.Conv2d(8, 64, 5)
    assert.is_true(conv.weight:abs():max():item() <= 1 / math.sqrt(200))
    assert.is_true(conv.weight:abs():max():item() > 0.97 / math.sqrt(200))
    local table_ = nn.Embedding(1000, 20, { padding_idx = 3 })
    assert.is_true(math.abs(table_.weight:std():item() - 1) < 0.05)
    assert.equals(0, table_.weight[3]:abs():sum():item())
  end)

  it("compute what the functions do", function()
    torch.manual_seed(2)
    local x = torch.randn(3, 4)
    local cases = {
      { nn.ReLU(), F.relu(x) }, { nn.Tanh(), x:tanh() }, { nn.Sigmoid(), x:sigmoid() }, { nn.GELU(), F.gelu(x) },
      { nn.SiLU(), F.silu(x) }, { nn.LeakyReLU(0.2), F.leaky_relu(x, 0.2) }, { nn.ELU(0.5), F.elu(x, 0.5) },
      { nn.Softplus(2, 10), F.softplus(x, 2, 10) }, { nn.Softmax(2), x:softmax(2) },
      { nn.LogSoftmax { dim = -1 }, x:log_softmax(-1) }, { nn.Identity(1, 2), x },
      { nn.LayerNorm(4), F.layer_norm(x, { 4 }) }, { nn.Unflatten(2, { 2, 2 }), x:view(3, 2, 2) },
      { nn.ReLU { inplace = true }, F.relu(x), x:clone() },
    }
    for _, case in ipairs(cases) do
      H.close(case[1](case[3] or x):detach(), case[2], { what = tostring(case[1]) })
    end
    local image = torch.randn(2, 3, 8, 8)
    H.close(nn.MaxPool2d(2)(image), F.max_pool2d(image, 2))
    H.close(nn.AvgPool2d(2, { stride = 1 })(image), F.avg_pool2d(image, 2, 1))
    assert.same({ 2, 6, 8, 8 }, { unpack(nn.Conv2d(3, 6, 3, { padding = "same" })(image):size()) })
    local conv = nn.Conv2d(3, 6, { 3, 1 }, { stride = { 2, 1 }, groups = 3 })
    H.close(conv(image):detach(), F.conv2d(image, conv.weight, conv.bias, { stride = { 2, 1 }, groups = 3 }):detach())
    assert.same({ 2, 192 }, { unpack(nn.Flatten()(image):size()) })
    local embedding = nn.Embedding(5, 2)
    H.same(embedding(torch.LongTensor { 5, 1 }):detach(), embedding.weight[torch.LongTensor { 5, 1 }]:detach())
    local frozen = nn.Embedding.from_pretrained(torch.ones(2, 3))
    assert.is_false(frozen.weight.requires_grad)
  end)

  it("compute losses", function()
    torch.manual_seed(3)
    local x, y = torch.randn(4, 3), torch.randn(4, 3)
    local classes, ones = torch.LongTensor { 1, 3, 2, 3 }, torch.rand(4, 3)
    local weight = torch.tensor { 1, 2, 3 }
    local cases = {
      { nn.MSELoss(), F.mse_loss(x, y), y }, { nn.L1Loss { reduction = "sum" }, (x - y):abs():sum(), y },
      { nn.SmoothL1Loss(), F.smooth_l1_loss(x, y), y },
      { nn.HuberLoss { delta = 0.5 }, F.huber_loss(x, y, { delta = 0.5 }), y },
      { nn.CrossEntropyLoss(), F.cross_entropy(x, classes), classes },
      { nn.CrossEntropyLoss { weight = weight, label_smoothing = 0.1 },
        F.cross_entropy(x, classes, { weight = weight, label_smoothing = 0.1 }), classes },
      { nn.NLLLoss { reduction = "none" }, F.nll_loss(x, classes, { reduction = "none" }), classes },
      { nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits(x, ones), ones },
      { nn.BCELoss(), F.binary_cross_entropy(ones, ones), ones, ones },
    }
    for _, case in ipairs(cases) do H.close(case[1](case[4] or x, case[3]), case[2], { what = tostring(case[1]) }) end
    assert.equals("CrossEntropyLoss()", tostring(nn.CrossEntropyLoss()))
    H.raises(function() nn.MSELoss { reduction = "avg" } end, "'avg' is not a valid value for reduction")
  end)
end)

describe("nn.init and nn.utils", function()
  it("fill in place without recording", function()
    torch.manual_seed(4)
    local init = nn.init
    local w = nn.Parameter(torch.empty(200, 300))
    init.xavier_uniform_(w)
    assert.is_true(w:abs():max():item() <= math.sqrt(6 / 500))
    init.kaiming_normal_(w, { nonlinearity = "relu" })
    assert.is_true(math.abs(w:std():item() - math.sqrt(2 / 300)) < 0.002)
    init.trunc_normal_(w, { std = 2, a = -1, b = 1 })
    assert.is_true(w:abs():max():item() <= 1)
    init.eye_(w)
    assert.equals(200, w:sum():item())
    init.constant_(w, 3)
    assert.equals(3, w:mean():item())
    assert.is_true(w.is_leaf and w.requires_grad)
    assert.is_true(math.abs(init.calculate_gain("leaky_relu", 0.2) - math.sqrt(2 / 1.04)) < 1e-12)
  end)

  it("clip gradients and make vectors of parameters", function()
    local a, b = torch.ones(2, { requires_grad = true }), torch.ones(2, 2, { requires_grad = true })
    a.grad, b.grad = torch.tensor { 3, 0 }, torch.tensor { { 0, 4 }, { 0, 0 } }
    assert.equals(5, nn.utils.clip_grad_norm_({ a, b }, 1):item())
    H.close(a.grad, { 0.6, 0 }, { rtol = 1e-5 })
    H.close(b.grad, { { 0, 0.8 }, { 0, 0 } }, { rtol = 1e-5 })
    nn.utils.clip_grad_value_({ a, b }, 0.5)
    H.close(b.grad, { { 0, 0.5 }, { 0, 0 } })
    local v = nn.utils.parameters_to_vector { a, b }
    assert.equals(6, v:numel())
    nn.utils.vector_to_parameters(torch.arange(1, 7):float(), { a, b })
    H.close(b:detach(), { { 3, 4 }, { 5, 6 } })
  end)
end)
