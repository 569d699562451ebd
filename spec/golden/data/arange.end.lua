local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{5}"] = {{dtype="int64", sizes={5}, {0,1,2,3,4}}},
  ["{2.5}"] = {{dtype="float32", sizes={3}, {0,1,2}}},
  ["{0}"] = {{dtype="int64", sizes={0}, {}}},
}
