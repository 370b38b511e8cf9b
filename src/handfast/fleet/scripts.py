"""What Redis runs in one step. All of it works with Redis 5 and newer, and with Valkey.

Names of keys, numbers and bytes come as arguments, so that each script is one text, which Redis compiles once.
"""

from __future__ import annotations

# Redis's clock in milliseconds.
_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# A guard's set holds hellos by when they may be forgotten. Above them stands, in +inf, 16 bytes of the epoch, 40 of the
# reign it began in, and when that was; below them, negative, the latest that Redis's clock was seen at. The reign is
# that of the process that answers, uninterrupted as a primary: replicas and restarts have another one.
# ARGV: the node's clock, how far it may be from Redis's.
_REIGN = (
    _CLOCK
    + """
local apart, most = now - ARGV[1], tonumber(ARGV[2])
local info = redis.call('INFO', 'replication')
local reign = string.find(info, 'role:master', 1, true) and string.match(info, 'master_replid:(%w+)')
local marker = redis.call('ZRANGEBYSCORE', KEYS[1], '+inf', '+inf')[1]
local latest = -(redis.call('ZSCORE', KEYS[1], 'clock') or 0)
local over = not marker or string.sub(marker, 17, 56) ~= reign or latest - now > 2 * most
"""
)

# ARGV: ..., an epoch if one must be begun, how long all is kept.
# Returns the marker and 0; or an empty string, and how far the clocks are apart.
EPOCH = (
    _REIGN
    + """
if math.abs(apart) > most then return {'', apart} end
if not reign or string.len(reign) ~= 40 then return {'', 0} end
if over then
  marker = ARGV[3] .. reign .. string.format('%.0f', now)
  redis.call('UNLINK', KEYS[1])
  redis.call('ZADD', KEYS[1], '+inf', marker, -now, 'clock')
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {marker, 0}
"""
)

# ARGV: ..., the epoch, the hello, how long it is kept, how many may be.
# Returns 1 where the hello is new and is remembered now, 0 where it is not new, and text where it cannot be told.
FIRST_USE = (
    _REIGN
    + """
if math.abs(apart) > most then return 'the clocks do not agree' end
if over or string.sub(marker, 1, 16) ~= ARGV[3] then return 'the epoch is over' end
redis.call('ZADD', KEYS[1], 'XX', -math.max(now, latest), 'clock')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '0', '(' .. now)
if redis.call('ZCARD', KEYS[1]) - 2 >= tonumber(ARGV[6]) then return 'no more can be remembered' end
return redis.call('ZADD', KEYS[1], 'NX', now + ARGV[5], ARGV[4])
"""
)

# A session has a place for each KiB begun of it: that many members in the list of all and in its client's, its name and
# its name with a number. All leave together, by the same script or at the same time.
_PLACES = """
local function places_of(name, session, unit)
  local members = {name}
  for place = 2, math.ceil(string.len(session) / unit) do members[place] = name .. place end
  return members
end
local function forget(name, session, unit, all, clients)
  local members = places_of(name, session, unit)
  redis.call('UNLINK', name)
  redis.call('ZREM', all, unpack(members))
  redis.call('ZREM', clients, unpack(members))
end
"""

# KEYS: a session, the list of all, the list of its client's, that of strangers. ARGV: the session, its life, the bytes
# of a place, how many places there are in all, how many of one client. The oldest of a client that has its share make
# room, and where all is full those of strangers; else what is full takes no more. Each one that leaves frees a place,
# so as many as the session takes are enough of either list, and no more work is done at once where numbers changed.
# Redis holds no script to maxmemory once it has written anything, so what comes first is something that adds nothing.
KEEP = (
    _CLOCK
    + _PLACES
    + """
redis.call('ZADD', KEYS[2], 'XX', 0, '')
local most, share = tonumber(ARGV[4]), tonumber(ARGV[5])
local members = places_of(KEYS[1], ARGV[1], ARGV[3])
if #members > share then return 0 end
for list = 2, 4 do redis.call('ZREMRANGEBYSCORE', KEYS[list], '-inf', now) end
local function is_full(list, limit) return redis.call('ZCARD', list) + #members > limit end
for _ = 1, 2 * #members do
  local list = is_full(KEYS[3], share) and KEYS[3] or is_full(KEYS[2], most) and KEYS[4]
  local oldest = list and redis.call('ZPOPMIN', list)[1]
  if not oldest then break end
  redis.call('ZREM', KEYS[2], oldest)
  local name = string.sub(oldest, 1, string.len(KEYS[1]))
  forget(name, redis.call('GET', name) or '', ARGV[3], KEYS[2], list)
end
if is_full(KEYS[2], most) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local scored = {}
for place, member in ipairs(members) do
  scored[2 * place - 1], scored[2 * place] = now + ARGV[2], member
end
for list = 2, 3 do
  redis.call('ZADD', KEYS[list], unpack(scored))
  if redis.call('PTTL', KEYS[list]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[list], ARGV[2]) end
end
return 1
"""
)

# KEYS: a session, the list of all. ARGV: what the names of clients' lists begin with, the bytes of a place. Returns the
# session, once.
REDEEM = (
    _PLACES
    + """
local found = redis.call('GET', KEYS[1])
if found then forget(KEYS[1], found, ARGV[2], KEYS[2], ARGV[1] .. string.sub(found, 1, 16)) end
return found
"""
)
