-- vision/digits.lua: drawn digits, a stand-in for MNIST where there is no network.
--
-- A digit is a few polylines in a square from -1 to 1, y downwards. For each image its corners
-- are jittered, the whole is rotated, scaled, sheared and moved, drawn with a pen of random width
-- and softness, and noise is added. All images of a class are drawn together: a pixel's darkness
-- follows from its distance to the nearest segment, computed for all pixels of many images per
-- op. Everything is drawn from moontorch's generator, so that a seed gives the same images.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local ImageDataset = require("moontorch.vision.images").ImageDataset

local ops = core.ops

---@class torch.vision.SyntheticDigits : torch.vision.ImageDataset
local SyntheticDigits = class.class("vision.SyntheticDigits", ImageDataset)

local side = 28
local chunk = 500 -- images drawn at once: keeps what one op touches within the cache

-- Corners of an arc of an ellipse; angles in degrees, 0 to the right, 90 down.
local function arc(x, y, rx, ry, from, to, pieces)
  local points = {}
  for i = 0, pieces do
    local a = math.rad(from + (to - from) * i / pieces)
    points[#points + 1] = {x + rx * math.cos(a), y + ry * math.sin(a)}
  end
  return points
end

local function joined(...)
  local points = {}
  for _, list in ipairs {...} do
    for _, p in ipairs(list) do points[#points + 1] = p end
  end
  return points
end

-- strokes[digit + 1]: a list of polylines
local strokes = {
  {arc(0, 0, 0.55, 0.9, -90, 270, 10)},
  {{{-0.35, -0.55}, {0.05, -0.9}, {0.05, 0.9}}},
  {joined(arc(0, -0.42, 0.5, 0.48, -170, 30, 5), {{-0.55, 0.88}, {0.6, 0.88}})},
  {joined(arc(-0.05, -0.45, 0.5, 0.43, -150, 80, 5), arc(-0.05, 0.45, 0.58, 0.47, -80, 150, 5))},
  {{{0.1, -0.9}, {-0.6, 0.25}, {0.6, 0.25}}, {{0.3, -0.3}, {0.3, 0.9}}},
  {joined({{0.5, -0.88}, {-0.4, -0.88}, {-0.45, -0.1}},
    arc(-0.05, 0.35, 0.55, 0.52, -110, 140, 6))},
  {joined(arc(0.35, 0.1, 0.85, 1.0, -95, -180, 4), arc(0, 0.42, 0.5, 0.47, -180, 180, 8))},
  {{{-0.55, -0.85}, {0.55, -0.85}, {-0.15, 0.9}}},
  {arc(0, -0.45, 0.42, 0.42, 90, 450, 8), arc(0, 0.45, 0.52, 0.46, -90, 270, 8)},
  {joined(arc(0, -0.4, 0.48, 0.47, 0, 360, 8), {{0.45, 0.1}, {0.2, 0.9}})},
}

-- Uniform numbers in [low, high), one an image: a column.
local function column(n, low, high, generator)
  return ops.rand({n, 1}, {generator = generator}):mul_(high - low):add_(low)
end

-- Corners of all images, each coordinate a column (n, 1).
local function place(polyline, n, transform, generator)
  local corners = {}
  for i, p in ipairs(polyline) do
    local x = ops.randn({n, 1}, {generator = generator}):mul_(0.04):add_(p[1])
    local y = ops.randn({n, 1}, {generator = generator}):mul_(0.04):add_(p[2])
    corners[i] = {
      x * transform.xx + y * transform.xy + transform.x0,
      x * transform.yx + y * transform.yy + transform.y0,
    }
  end
  return corners
end

-- Random affine maps from the square to pixels.
local function random_transform(n, generator)
  local angle = column(n, -0.22, 0.22, generator)
  local shear = column(n, -0.25, 0.25, generator)
  local sx, sy = column(n, 7.0, 10.0, generator), column(n, 8.0, 10.5, generator)
  local cos, sin = angle:cos(), angle:sin()
  return {
    xx = cos * sx, xy = (cos * shear - sin) * sy, yx = sin * sx, yy = (sin * shear + cos) * sy,
    x0 = column(n, -1.5, 1.5, generator):add_((side + 1) / 2),
    y0 = column(n, -1.5, 1.5, generator):add_((side + 1) / 2),
  }
end

-- Square of the distance from each pixel to the segment a b: (n, side * side).
local function distance(px, py, a, b)
  local dx, dy = b[1] - a[1], b[2] - a[2]
  local length = (dx * dx + dy * dy):add_(1e-6)
  local x, y = px - a[1], py - a[2]
  local along = (x * (dx / length)):add_(y * (dy / length)):clamp_(0, 1)
  x:sub_(along * dx)
  y:sub_(along * dy)
  return x:mul_(x):add_(y:mul_(y))
end

-- n images of one digit: uint8 (n, side, side).
local function draw(digit, n, px, py, generator)
  local transform = random_transform(n, generator)
  local nearest
  for _, polyline in ipairs(strokes[digit + 1]) do
    local corners = place(polyline, n, transform, generator)
    for i = 2, #corners do
      local d = distance(px, py, corners[i - 1], corners[i])
      nearest = nearest and ops.minimum(nearest, d) or d
    end
  end
  local width = column(n, 0.9, 1.8, generator)
  local soft = column(n, 0.6, 1.2, generator)
  local ink = ((width - nearest:sqrt_()) / soft):add_(0.5):clamp_(0, 1)
  ink:mul_(column(n, 0.8, 1.0, generator))
  ink:add_(ops.randn({n, side * side}, {generator = generator}):mul_(0.05))
  return ink:clamp_(0, 1):mul_(255):to(core.dtypes.uint8):view(n, side, side)
end

local function draw_all(labels, n, generator)
  local images = ops.empty({n, side, side}, {dtype = core.dtypes.uint8})
  local line = ops.arange(1, side + 1):to(core.dtypes.float32)
  local px = line:unsqueeze(1):expand(side, side):reshape(1, -1)
  local py = line:unsqueeze(2):expand(side, side):reshape(1, -1)
  for digit = 0, 9 do
    local positions = labels:eq(digit + 1):nonzero():view(-1)
    local count, start = positions:size(1), 1
    while start <= count do
      local m = math.min(chunk, count - start + 1)
      local at = positions:narrow(1, start, m)
      core.scope(function() images[at] = draw(digit, m, px, py, generator) end)
      start = start + m
    end
  end
  return images
end

local read = args.signature("SyntheticDigits(int n, *, int? seed, generator? generator, "
  .. "number? mean, number? std, callable? transform, callable? target_transform)")

--- n drawn digits, 28 x 28, labels 1..10 as in MNIST. They are drawn from a generator with the
--- given seed, from the given generator, or from the default one.
---@param ... any n, {seed, generator, mean, std, transform, target_transform}
function SyntheticDigits:__init(...)
  local n, seed, generator, mean, std, transform, target_transform = read(...)
  if seed then generator = core.Generator():manual_seed(seed) end
  if n < 1 then fail("SyntheticDigits: n must be positive, got %d", n) end
  local labels = ops.randint(1, 11, {n}, {generator = generator})
  local images = core.no_grad(draw_all, labels, n, generator)
  local classes = {}
  for digit = 0, 9 do classes[digit + 1] = tostring(digit) end
  ImageDataset.__init(self, images, labels, classes, {
    mean = mean, std = std, transform = transform, target_transform = target_transform,
  })
end

return {SyntheticDigits = SyntheticDigits}
