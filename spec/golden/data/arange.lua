local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{1, 5}"] = {{dtype="int64", sizes={4}, {1,2,3,4}}},
  ["{0, 1, 0.25}"] = {{dtype="float32", sizes={4}, {0,0.25,0.5,0.75}}},
  ["{5, 0, -2}"] = {{dtype="int64", sizes={3}, {5,3,1}}},
  ["{2, 2}"] = {{dtype="int64", sizes={0}, {}}},
  ["{0, 3, {dtype=torch.float64}}"] = {{dtype="float64", sizes={3}, {0,1,2}}},
}
