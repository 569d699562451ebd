local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="float64", sizes={}, {-1.9489}}},
  ["{f(3,4), 2, true}"] = {{dtype="float64", sizes={3,1}, {-0.9534,-1.6001,-0.1988}}},
  ["{f(2,3,4), {1,3}}"] = {{dtype="float64", sizes={3}, {-1.0523,-1.3874,-1.9817}}},
  ["{t(f(3,5)), 1}"] = {{dtype="float64", sizes={3}, {-0.7971,-1.0703,-1.2725}}},
  ["{f()}"] = {{dtype="float64", sizes={}, {-0.5143}}},
  ["{f(0,3), 2}"] = {{dtype="float64", sizes={0}, {}}},
}
