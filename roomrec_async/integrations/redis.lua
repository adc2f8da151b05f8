-- One limit for many processes. Times are microseconds of this server's clock; a lease is a permit by its name.
--
-- KEYS  state    hash: from when anything starts (open), the next start of each lane (slot:...), the last ticket
--       leases   sorted set: who may be in flight, by the time at which that expires
--       seen     sorted set: who waits, by the time after which he is taken for dead
--       queue, log  of the reads, then of the writes: who waits, by ticket; who started, by the last moment at which
--                the service can have seen it
-- ARGV  operation, max_concurrency, lease, reads and writes a second (0: no bound), then what the operation needs

local state, leases, seen = KEYS[1], KEYS[2], KEYS[3]
local operation, bound, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local SECOND = 1000000
-- A window is a little longer than the service's, whose clock may run a little faster.
local MARGIN = 1.01
-- A request has reached the service this long after its start: a new connection, and processes that were busy, included.
-- If the answer is there before, it has by then. So no more than a tenth of the quota is lost to what is not known.
local TRANSIT = 100000
-- Starts that nobody was there for are made up for, up to this.
local CATCH_UP = 50000
-- A start may be promised this long ahead: while a quarter of the permits is free, since it takes one, or always.
local FAR, NEAR = 500000, 25000
-- Who waits comes back after this, and is dead if he has not come for so long.
local POLL, DEAD = 250000, 2000000

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]

-- Nothing is known here: whoever holds anything tells within the time of a lease.
local open = tonumber(redis.call('HGET', state, 'open'))
if not open then
  open = now + lease
  redis.call('HSET', state, 'open', open)
end

local function lane(kind, queue, log, rate)
  local made = {kind = kind, queue = queue, log = log, slot = 'slot:' .. kind, paced = rate > 0, interval = 0}
  if made.paced then
    made.most = math.ceil(rate)
    made.interval = math.ceil(MARGIN * SECOND / rate)
    made.window = math.ceil(MARGIN * SECOND * made.most / rate)
  end
  return made
end

local lanes = {
  lane('read', KEYS[4], KEYS[5], tonumber(ARGV[4])),
  lane('write', KEYS[6], KEYS[7], tonumber(ARGV[5])),
}

local function handed_to(name)
  return state .. ':' .. name
end

local function forget(name, queue)
  redis.call('ZREM', queue, name)
  redis.call('ZREM', seen, name)
end

local function free()
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  return bound == 0 and math.huge or bound - redis.call('ZCARD', leases)
end

-- Who has waited longest, and his ticket.
local function head(of)
  while true do
    local first = redis.call('ZRANGE', of.queue, 0, 0, 'WITHSCORES')
    if #first == 0 then
      return nil
    end
    local alive = redis.call('ZSCORE', seen, first[1])
    if alive and tonumber(alive) > now then
      return first[1], tonumber(first[2])
    end
    forget(first[1], of.queue)
  end
end

local function slot(of)
  return tonumber(redis.call('HGET', state, of.slot) or 0)
end

local function earliest(of)
  local at = math.max(now, open)
  if of.paced then
    at = math.max(at, slot(of))
    local nth = redis.call('ZREVRANGE', of.log, of.most - 1, of.most - 1, 'WITHSCORES')
    if #nth > 0 then
      at = math.max(at, math.ceil(tonumber(nth[2])) + of.window)
    end
  end
  return at
end

local function admit(name, of, at)
  forget(name, of.queue)
  redis.call('ZADD', leases, at + lease, name)
  if of.paced then
    redis.call('HSET', state, of.slot, math.max(slot(of), at - CATCH_UP) + of.interval)
    redis.call('ZREMRANGEBYSCORE', of.log, '-inf', now - of.window)
    redis.call('ZADD', of.log, at + TRANSIT, name)
  end
end

local function horizon(left)
  return now + ((bound == 0 or left * 4 >= bound) and FAR or NEAR)
end

-- Admit who may start, in the order of arrival. `me` learns it from the answer, the others find it in their lists.
local function serve(me)
  local left, mine = free(), nil
  while left > 0 do
    local chosen, chosen_lane, chosen_ticket, chosen_at
    for _, each in ipairs(lanes) do
      local name, ticket = head(each)
      if name and (not chosen or ticket < chosen_ticket) then
        local at = earliest(each)
        if at <= horizon(left) then
          chosen, chosen_lane, chosen_ticket, chosen_at = name, each, ticket, at
        end
      end
    end
    if not chosen then
      return mine
    end
    admit(chosen, chosen_lane, chosen_at)
    if chosen == me then
      mine = chosen_at
    else
      redis.call('RPUSH', handed_to(chosen), string.format('%.0f', chosen_at))
      redis.call('PEXPIRE', handed_to(chosen), math.ceil(lease / 1000))
    end
    left = left - 1
  end
  return mine
end

local function acquire(me, kind)
  local of = kind == 'read' and lanes[1] or lanes[2]
  if redis.call('ZSCORE', leases, me) then
    -- Somebody has handed it on, or it is asked for again because the answer was lost.
    redis.call('DEL', handed_to(me))
    local started = redis.call('ZSCORE', of.log, me)
    return {'start', started and tonumber(started) - TRANSIT or now, now}
  end
  redis.call('ZADD', of.queue, 'NX', redis.call('HINCRBY', state, 'ticket', 1), me)
  redis.call('ZADD', seen, now + DEAD, me)
  local mine = serve(me)
  if mine then
    return {'start', mine, now}
  end
  local left = free()
  if left <= 0 then
    return {'listen', POLL, now}
  end
  local at = earliest(of) + redis.call('ZRANK', of.queue, me) * of.interval
  return {'wait', math.min(POLL, math.max(1000, at - horizon(left))), now}
end

local function release(me, late)
  redis.call('ZREM', leases, me)
  redis.call('DEL', handed_to(me))
  for _, each in ipairs(lanes) do
    forget(me, each.queue)
    local by = redis.call('ZSCORE', each.log, me)
    if by and late < 0 then
      redis.call('ZREM', each.log, me)
    elseif by then
      -- The answer is there: the service has seen it by now at the latest.
      redis.call('ZADD', each.log, math.min(now, tonumber(by) + late), me)
    end
  end
  serve(nil)
end

if operation == 'acquire' then
  return acquire(ARGV[6], ARGV[7])
elseif operation == 'release' then
  release(ARGV[6], tonumber(ARGV[7]))
elseif operation == 'renew' then
  for index = 6, #ARGV do
    redis.call('ZADD', leases, now + lease, ARGV[index])
  end
elseif operation == 'pause' then
  redis.call('HSET', state, 'open', math.max(open, now + tonumber(ARGV[6])))
end
return {}
