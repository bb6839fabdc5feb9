"""What a replica of the denylist asks of Redis in one step: Lua, for Redis 6.2 and later."""

from __future__ import annotations

from .scripts import Script

# KEYS: the epoch, the log. ARGV: the id of the line to begin with ("" for no lines), how many. It returns the epoch,
# the ids of the first and last line that are kept, and the lines as one text, which is read faster than lists in lists.
_POLL = """
local function id(entries) return entries[1] and entries[1][1] or "0-0" end
local lines = {}
if ARGV[1] ~= "" then
  for place, entry in ipairs(redis.call("XRANGE", KEYS[2], ARGV[1], "+", "COUNT", ARGV[2])) do
    lines[place] = entry[1] .. " " .. table.concat(entry[2], " ")
  end
end
return {
  redis.call("MGET", KEYS[1])[1],
  id(redis.call("XRANGE", KEYS[2], "-", "+", "COUNT", 1)),
  id(redis.call("XREVRANGE", KEYS[2], "+", "-", "COUNT", 1)),
  table.concat(lines, "\\n"),
}
"""

# KEYS: any of ours. ARGV: the cursor, how many keys to look at. It returns the next cursor and the marks, a line each.
# A prefix has no character that would mean something else in a pattern.
_PAGE = """
local stem = string.match(KEYS[1], "^[^}]*}:")
local found = redis.call("SCAN", ARGV[1], "MATCH", stem .. "[dut]:*", "COUNT", ARGV[2])
local lines = {}
for _, key in ipairs(found[2]) do
  local value = redis.call("MGET", key)[1]
  if value then
    local life = string.format("%.0f", redis.call("PTTL", key))
    lines[#lines + 1] = string.sub(key, #stem + 1) .. " " .. value .. " " .. life
  end
end
return {found[1], table.concat(lines, "\\n")}
"""

POLL = Script(_POLL)
PAGE = Script(_PAGE)
