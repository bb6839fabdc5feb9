"""What Redis does in one step: Lua, for Redis 6.2 and later."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

# A script that meets a value it cannot read begins its error with this word.
UNREADABLE = "UNREADABLE"

_EPOCH = """
local function opened(raw)
  local since, incarnation, seq = string.match(raw, "^1|(%d+)|([%w_-]+)|(%d+)$")
  if not since or #since > 15 or #seq > 15 then return nil end
  return since, incarnation, tonumber(seq)
end
local function raise(key, since, incarnation, seq)
  local epoch = string.format("1|%s|%s|%.0f", since, incarnation, seq + 1)
  redis.call("SET", key, epoch)
  return epoch
end
local unreadable = redis.error_reply("UNREADABLE value in the store")
"""

# ARGV: number, seconds to keep, a fresh incarnation, "trusted" or "". The log feeds every process that has a replica of
# the denylist. It is written first: where that is refused, for want of memory or of a right, nothing at all is done.
_RAISE_MARK = """
local since, incarnation, seq = "0", ARGV[3], 0
local epoch = redis.call("GET", KEYS[1])
if epoch then
  since, incarnation, seq = opened(epoch)
  if not since then return unreadable end
elseif ARGV[4] ~= "trusted" then
  since = redis.call("TIME")[1]
end
local number, life = ARGV[1], tonumber(ARGV[2]) * 1000
local present = redis.call("GET", KEYS[2])
if present then
  local kept = string.match(present, "^1|(%d+)$")
  if not kept or #kept > 15 then return unreadable end
  if tonumber(kept) > tonumber(number) then number = kept end
  local left = redis.call("PTTL", KEYS[2])
  if left < 0 then life = nil elseif left > life then life = left end
end
local value = "1|" .. number
life = life and string.format("%.0f", life)
local stem = string.match(KEYS[1], "^[^}]*}:")
local told = {"name", string.sub(KEYS[2], #stem + 1), "value", value, "life", life or "-1"}
redis.call("XADD", stem .. "log", "MAXLEN", "~", "10000", "*", unpack(told))
if life then
  redis.call("SET", KEYS[2], value, "PX", life)
else
  redis.call("SET", KEYS[2], value)
end
return raise(KEYS[1], since, incarnation, seq)
"""

# ARGV: the epoch that was read ("" for none), the value to set, seconds to keep, a fresh incarnation.
_SPEND = """
local since, incarnation, seq = "0", ARGV[4], 0
local epoch = redis.call("GET", KEYS[1])
if (epoch or "") ~= ARGV[1] then
  if not epoch or ARGV[1] == "" then return -1 end
  local since_read, incarnation_read, seq_read = opened(ARGV[1])
  since, incarnation, seq = opened(epoch)
  if not since or not since_read then return unreadable end
  if since ~= since_read or incarnation ~= incarnation_read or seq < seq_read then return -1 end
elseif epoch then
  since, incarnation, seq = opened(epoch)
  if not since then return unreadable end
end
if not redis.call("SET", KEYS[2], ARGV[2], "NX", "EX", ARGV[3]) then return 0 end
raise(KEYS[1], since, incarnation, seq)
return 1
"""

# ARGV: the epoch that was observed ("" for none), a fresh incarnation, "trusted" or "", the first second that will do
# for an epoch that is not trusted: the clock may have been set back since the one began that was lost.
# Nothing where something was observed is a memory lost in between, which no caller has trusted.
_FOUND_EPOCH = """
local present = redis.call("GET", KEYS[1])
if present and (ARGV[1] == "" or present ~= ARGV[1]) then return present end
local trusted = ARGV[3] == "trusted" and (present or "") == ARGV[1]
local since = trusted and "0" or redis.call("TIME")[1]
if not trusted and tonumber(since) < tonumber(ARGV[4]) then since = ARGV[4] end
local epoch = "1|" .. since .. "|" .. ARGV[2] .. "|0"
redis.call("SET", KEYS[1], epoch)
return epoch
"""

# One key is given, the entry's (or in _RELEASE the claim's); all others are spelt from it and have its hash tag.
# MGET and not GET: a key of another type than string counts as absent. What has no end is nobody's.
_ENTRIES = """
local function value(key) return redis.call("MGET", key)[1] end
local function held_by_another(claim, own)
  local holder = value(claim)
  return holder and holder ~= own and redis.call("PTTL", claim) > 0
end
local function release(claim, own)
  return value(claim) ~= own or redis.pcall("DEL", claim)
end
"""

# ARGV: the claim, its milliseconds. It returns {leads, epoch, unreadable} where there is no entry, {hit, mark...} where
# a name is marked, and else the hit alone: "milliseconds length-of-epoch " with epoch and entry behind, for one text is
# read twice as fast as a list. A claim that cannot be written, for want of memory or on a replica, holds nobody up.
_RECALL = """
local key = KEYS[1]
local stem = string.match(key, "^[^}]*}:")
local read = redis.call("MGET", stem .. "epoch", key)
local epoch, entry = read[1], read[2]
local names = entry and string.match(entry, "^1|([^|]*)|")
local left = names and redis.call("PTTL", key) or 0
if left > 0 then
  local hit = string.format("%d %d ", left, epoch and #epoch or -1) .. (epoch or "") .. entry
  local keys = {}
  for name in string.gmatch(names, "[^ ]+") do
    if #keys == 3 or not string.match(name, "^[dut]:[A-Za-z0-9_-]+$") then return hit end
    keys[#keys + 1] = stem .. name
  end
  if #keys == 0 then return hit end
  local marks = redis.call("MGET", unpack(keys))
  if marks[1] or marks[2] or marks[3] then return {hit, unpack(marks)} end
  return hit
end
local unreadable = entry and entry ~= "0" and (not names or left < 0) and 1 or 0
local claim = key .. ":claim"
local holder = redis.call("MGET", claim)[1]
if holder and holder ~= ARGV[1] and redis.call("PTTL", claim) > 0 then return {0, epoch, unreadable} end
redis.pcall("SET", claim, ARGV[1], "PX", ARGV[2])
return {1, epoch, unreadable}
"""

# ARGV: the claim, the entry, its milliseconds, "over" or "".
_KEEP = """
local function stands(key)
  local present = value(key)
  return present and (present == "0" or string.match(present, "^1|[^|]*|")) and redis.call("PTTL", key) > 0
end
local done = 1
if ARGV[4] == "over" or not stands(KEYS[1]) then done = redis.pcall("SET", KEYS[1], ARGV[2], "PX", ARGV[3]) end
release(KEYS[1] .. ":claim", ARGV[1])
return done
"""

# ARGV: the claim, the tombstone's milliseconds. An entry goes even where there is no memory for its tombstone.
_RETIRE = """
local done, claim = 1, KEYS[1] .. ":claim"
if value(KEYS[1]) or held_by_another(claim, ARGV[1]) then
  done = redis.pcall("SET", KEYS[1], "0", "PX", ARGV[2])
  if done.err then redis.pcall("DEL", KEYS[1]) end
end
release(claim, ARGV[1])
return done
"""

# ARGV: what must stand there.
_RELEASE = """
return release(KEYS[1], ARGV[1])
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest that Redis knows it by."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)


RAISE_MARK = Script(_EPOCH + _RAISE_MARK)
SPEND = Script(_EPOCH + _SPEND)
FOUND_EPOCH = Script(_FOUND_EPOCH)
RECALL = Script(_RECALL)
KEEP = Script(_ENTRIES + _KEEP)
RETIRE = Script(_ENTRIES + _RETIRE)
RELEASE = Script(_ENTRIES + _RELEASE)
