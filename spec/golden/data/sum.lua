local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={}, {-7.054500000000001}}},
  ["{f(3,4), 2, {keepdim=true}}"] = {{dtype="float64", sizes={3,1}, {2.5432,-0.5557,-3.306}}},
  ["{f(2,3,4), {1,3}}"] = {{dtype="float64", sizes={3}, {0.38739999999999974,-1.657,-1.7676}}},
  ["{t(f(3,5)), 1}"] = {{dtype="float64", sizes={3}, {-1.8553000000000002,-5.6842,0.5530999999999999}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {-0.6028}}},
  ["{f(0,3), 1}"] = {{dtype="float64", sizes={3}, {0,0,0}}},
  ["{i(3,4), {dtype=torch.float64}}"] = {{dtype="float64", sizes={}, {-7}}},
}
