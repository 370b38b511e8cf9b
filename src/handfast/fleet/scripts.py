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

# KEYS: a session, the list of all, the list of its client's. ARGV: the session, its life, how many there may be in all,
# how many of one client. The oldest of a client that has its share makes room; else what is full takes no more.
# Redis holds no script to maxmemory once it has written anything, so what comes first is something that adds nothing.
KEEP = (
    _CLOCK
    + """
redis.call('ZADD', KEYS[2], 'XX', 0, '')
for list = 2, 3 do redis.call('ZREMRANGEBYSCORE', KEYS[list], '-inf', now) end
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then
  local oldest = redis.call('ZPOPMIN', KEYS[3])[1]
  if oldest then
    redis.call('UNLINK', oldest)
    redis.call('ZREM', KEYS[2], oldest)
  end
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for list = 2, 3 do
  redis.call('ZADD', KEYS[list], now + ARGV[2], KEYS[1])
  if redis.call('PTTL', KEYS[list]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[list], ARGV[2]) end
end
return 1
"""
)

# KEYS: a session, the list of all. ARGV: what the names of clients' lists begin with. Returns the session, once.
REDEEM = """
local found = redis.call('GET', KEYS[1])
if found then
  redis.call('UNLINK', KEYS[1])
  redis.call('ZREM', KEYS[2], KEYS[1])
  redis.call('ZREM', ARGV[1] .. string.sub(found, 1, 16), KEYS[1])
end
return found
"""
