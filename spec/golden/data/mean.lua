local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={}, {0.26872500000000005}}},
  ["{f(3,4), 2, {keepdim=true}}"] = {{dtype="float64", sizes={3,1}, {0.54055,-0.547725,-0.43237499999999995}}},
  ["{f(2,3,4), {1,3}}"] = {{dtype="float64", sizes={3}, {0.45695,0.16622500000000007,0.18039999999999998}}},
  ["{t(f(3,5)), 1}"] = {{dtype="float64", sizes={3}, {0.31062,0.15100000000000002,-0.2226}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {0.1679}}},
  ["{f(3,0), 1}"] = {{dtype="float64", sizes={0}, {}}},
  ["{i(3,4), {dtype=torch.float64}}"] = {{dtype="float64", sizes={}, {0.5833333333333334}}},
  ["{b(3,4), {dtype=torch.float32}}"] = {{dtype="float32", sizes={}, {0.6666666865348816}}},
}
