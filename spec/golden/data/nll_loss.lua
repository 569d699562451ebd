local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), idx(4,3)}"] = {{dtype="float64", sizes={}, {0.6073666666666666}}},
  ["{f(3,4), idx(4,3), pos(4), {reduction=\"sum\"}}"] = {{dtype="float64", sizes={}, {-0.52025969}}},
  ["{f(2,3,2), idx(3,2,2), {reduction=\"none\"}}"] = {{dtype="float64", sizes={2,2}, {0.9019,0.1208,-0.2623,-1.4629}}},
  ["{t(f(4,3)), idx(4,3), pos(4)}"] = {{dtype="float64", sizes={}, {0.5231597222718024}}},
  ["{f(4), idx(4)}"] = {{dtype="float64", sizes={}, {0.8694}}},
  ["{f(3,4), idx(4,3), {ignore_index=2}}"] = {{dtype="float64", sizes={}, {0.5873666666666667}}},
}
