local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), 2}"] = {{dtype="float64", sizes={3}, {-0.3381,-1.0771,-0.5679}}, {dtype="int64", sizes={3}, {1,4,4}}},
  ["{f(3,4), 1}"] = {{dtype="float64", sizes={4}, {-0.433,-0.1325,0.1818,-1.0835}}, {dtype="int64", sizes={4}, {3,3,1,2}}},
  ["{f(3,4), 2, true}"] = {{dtype="float64", sizes={3,1}, {-0.571,-0.2789,-0.1297}}, {dtype="int64", sizes={3,1}, {1,3,2}}},
  ["{f(), 1}"] = {{dtype="float64", sizes={}, {0.5847}}, {dtype="int64", sizes={}, {1}}},
}
