local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{b(3,4)}"] = {{dtype="int64", sizes={}, {5}}},
  ["{b(3,4), 2}"] = {{dtype="int64", sizes={3}, {1,2,1}}},
  ["{b(2,3,4), {1,3}}"] = {{dtype="int64", sizes={3}, {4,1,2}}},
  ["{f(3)}"] = {{dtype="int64", sizes={}, {3}}},
  ["{b()}"] = {{dtype="int64", sizes={}, {1}}},
  ["{b(0,3), 1}"] = {{dtype="int64", sizes={3}, {0,0,0}}},
}
