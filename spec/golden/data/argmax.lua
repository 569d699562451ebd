local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="int64", sizes={}, {6}}},
  ["{f(3,4), 2, {keepdim=true}}"] = {{dtype="int64", sizes={3,1}, {3,2,3}}},
  ["{f(2,3,4), -2}"] = {{dtype="int64", sizes={2,4}, {2,2,3,2,3,1,1,2}}},
  ["{t(f(3,5))}"] = {{dtype="int64", sizes={}, {3}}},
  ["{f()}"] = {{dtype="int64", sizes={}, {1}}},
  ["{f(0,3), 2}"] = {{dtype="int64", sizes={0}, {}}},
}
