local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{b(3,4)}"] = {{dtype="int64", sizes={5}, {1,2,2,3,3}}, {dtype="int64", sizes={5}, {4,1,2,1,3}}},
  ["{b(5)}"] = {{dtype="int64", sizes={1}, {2}}},
  ["{f(2,3)}"] = {{dtype="int64", sizes={6}, {1,1,1,2,2,2}}, {dtype="int64", sizes={6}, {1,2,3,1,2,3}}},
}
