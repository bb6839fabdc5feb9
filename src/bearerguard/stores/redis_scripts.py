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

# ARGV: number, seconds to keep, a fresh incarnation.
_RAISE_MARK = """
local since, incarnation, seq = "0", ARGV[3], 0
local epoch = redis.call("GET", KEYS[1])
if epoch then
  since, incarnation, seq = opened(epoch)
  if not since then return unreadable end
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
if life then
  redis.call("SET", KEYS[2], "1|" .. number, "PX", string.format("%.0f", life))
else
  redis.call("SET", KEYS[2], "1|" .. number)
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

# ARGV: the epoch that was observed ("" for none), a fresh incarnation, "trusted" or "".
# Nothing where something was observed is a memory lost in between, which no caller has trusted.
_FOUND_EPOCH = """
local present = redis.call("GET", KEYS[1])
if present and (ARGV[1] == "" or present ~= ARGV[1]) then return present end
local trusted = ARGV[3] == "trusted" and (present or "") == ARGV[1]
local since = trusted and "0" or redis.call("TIME")[1]
local epoch = "1|" .. since .. "|" .. ARGV[2] .. "|0"
redis.call("SET", KEYS[1], epoch)
return epoch
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
