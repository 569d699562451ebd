-- luacheck's settings: LuaJIT, no globals.
std = "luajit"
max_line_length = 120
codes = true
ignore = {"212/self"} -- a method need not use self
exclude_files = {"build*/**", "spec/golden/data/**", "lua_modules/**", ".luarocks/**"}
files["spec/**"] = {std = "luajit+busted"}
