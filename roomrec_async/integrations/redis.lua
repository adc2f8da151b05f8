-- The admission of a limiter that many processes share. All times and durations are microseconds, and all times are
-- those of this server's clock. A lease is a permit, known by its name; so is the waiter that asks for it.
--
-- KEYS  1     state   hash. open: nothing starts before this time; slot:KIND: the next evenly spaced start of a lane;
--                     ticket: the last ticket given to a waiter
--       2     leases  sorted set: leases by the time at which they expire
--       3     seen    sorted set: waiters by the time at which they count as dead
--       4, 5  queue and log of the reads; 6, 7 those of the writes
--             queue   sorted set: waiters by ticket
--             log     sorted set: leases that have started, by the latest time at which the service has seen the request
--
-- ARGV  1 operation, 2 max_concurrency, 3 duration of a lease, 4 reads and 5 writes per second (2, 4, 5: 0 for no
--       limit), then the arguments of the operation:
--       acquire NAME KIND      ask for a lease, or ask again; returns {status, value, clock}. The status is
--                              start   the lease is granted, and the request may start at the time `value`
--                              listen  wait for the start in the list state:NAME for the duration `value`, or ask again
--                              wait    ask again after the duration `value`
--       release NAME LATENESS  return a lease whose request started that late; less than 0: it has not started
--       renew NAME...          let leases expire later
--       pause DURATION         start nothing for that long

local state, leases, seen = KEYS[1], KEYS[2], KEYS[3]
local operation, max_concurrency, lease_duration = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local SECOND = 1000000
-- Windows are this much longer than a second: the service's clock may run a little faster.
local MARGIN = 1.01
-- A request has reached the service this long after its start, even with a new connection and in a busy process. If its
-- response comes earlier, it has reached it by then. So at most a tenth of the quota is lost to not knowing.
local TRANSIT = 100000
-- Starts that were missed because nobody waited are made up for, up to this duration.
local CATCH_UP = 50000
-- How far ahead a start may be scheduled. A scheduled start holds a permit, so that a far one is for times when at least
-- a quarter of the permits is free.
local FAR_HORIZON, NEAR_HORIZON = 500000, 25000
-- Waiters ask again after the first, and count as dead if they have not asked for the second.
local POLL_INTERVAL, WAITER_TIMEOUT = 250000, 2000000

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]

-- A new limiter, or one whose data are lost, waits for the duration of a lease: all holders of leases renew them by then.
local opens_at = tonumber(redis.call('HGET', state, 'open'))
if not opens_at then
  opens_at = now + lease_duration
  redis.call('HSET', state, 'open', opens_at)
end

local function new_lane(kind, queue, log, rate)
  local lane = {kind = kind, queue = queue, log = log, slot = 'slot:' .. kind, paced = rate > 0, interval = 0}
  if lane.paced then
    lane.window_starts = math.ceil(rate)
    lane.interval = math.ceil(MARGIN * SECOND / rate)
    lane.window = math.ceil(MARGIN * SECOND * lane.window_starts / rate)
  end
  return lane
end

local lanes = {
  new_lane('read', KEYS[4], KEYS[5], tonumber(ARGV[4])),
  new_lane('write', KEYS[6], KEYS[7], tonumber(ARGV[5])),
}

-- The list in which a waiter finds the start of the lease that was granted to it.
local function handover_list(name)
  return state .. ':' .. name
end

local function remove_waiter(name, queue)
  redis.call('ZREM', queue, name)
  redis.call('ZREM', seen, name)
end

local function count_free_permits()
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  return max_concurrency == 0 and math.huge or max_concurrency - redis.call('ZCARD', leases)
end

-- Return the first waiter that is alive, and its ticket.
local function first_waiter(lane)
  while true do
    local first = redis.call('ZRANGE', lane.queue, 0, 0, 'WITHSCORES')
    if #first == 0 then
      return nil
    end
    local dead_at = redis.call('ZSCORE', seen, first[1])
    if dead_at and tonumber(dead_at) > now then
      return first[1], tonumber(first[2])
    end
    remove_waiter(first[1], lane.queue)
  end
end

local function next_slot(lane)
  return tonumber(redis.call('HGET', state, lane.slot) or 0)
end

-- Starts are evenly spaced. Where missed ones are made up for, the log keeps the rate: the n-th last start must be a
-- full window ago.
local function earliest_start(lane)
  local start = math.max(now, opens_at)
  if lane.paced then
    start = math.max(start, next_slot(lane))
    local nth_last = redis.call('ZREVRANGE', lane.log, lane.window_starts - 1, lane.window_starts - 1, 'WITHSCORES')
    if #nth_last > 0 then
      start = math.max(start, math.ceil(tonumber(nth_last[2])) + lane.window)
    end
  end
  return start
end

local function grant(name, lane, start)
  remove_waiter(name, lane.queue)
  redis.call('ZADD', leases, start + lease_duration, name)
  if lane.paced then
    redis.call('HSET', state, lane.slot, math.max(next_slot(lane), start - CATCH_UP) + lane.interval)
    redis.call('ZREMRANGEBYSCORE', lane.log, '-inf', now - lane.window)
    redis.call('ZADD', lane.log, start + TRANSIT, name)
  end
end

-- Return the latest time for which a start may be scheduled now.
local function horizon(free_permits)
  local is_far = max_concurrency == 0 or free_permits * 4 >= max_concurrency
  return now + (is_far and FAR_HORIZON or NEAR_HORIZON)
end

-- Grant leases to all waiters that may start, in the order of arrival. The start of the caller is returned; the others
-- find theirs in their handover lists.
local function grant_waiting(caller)
  local free_permits, caller_start = count_free_permits(), nil
  while free_permits > 0 do
    local chosen, chosen_lane, chosen_ticket, chosen_start
    for _, lane in ipairs(lanes) do
      local name, ticket = first_waiter(lane)
      if name and (not chosen or ticket < chosen_ticket) then
        local start = earliest_start(lane)
        if start <= horizon(free_permits) then
          chosen, chosen_lane, chosen_ticket, chosen_start = name, lane, ticket, start
        end
      end
    end
    if not chosen then
      return caller_start
    end

    grant(chosen, chosen_lane, chosen_start)
    if chosen == caller then
      caller_start = chosen_start
    else
      redis.call('RPUSH', handover_list(chosen), string.format('%.0f', chosen_start))
      redis.call('PEXPIRE', handover_list(chosen), math.ceil(lease_duration / 1000))
    end
    free_permits = free_permits - 1
  end
  return caller_start
end

local function acquire(name, kind)
  local lane = kind == 'read' and lanes[1] or lanes[2]
  if redis.call('ZSCORE', leases, name) then
    -- It was granted and handed over meanwhile, or the reply was lost and the command is sent again.
    redis.call('DEL', handover_list(name))
    local reached_by = redis.call('ZSCORE', lane.log, name)
    return {'start', reached_by and tonumber(reached_by) - TRANSIT or now, now}
  end

  redis.call('ZADD', lane.queue, 'NX', redis.call('HINCRBY', state, 'ticket', 1), name)
  redis.call('ZADD', seen, now + WAITER_TIMEOUT, name)
  local start = grant_waiting(name)
  if start then
    return {'start', start, now}
  end

  local free_permits = count_free_permits()
  if free_permits <= 0 then
    return {'listen', POLL_INTERVAL, now}
  end
  -- The rate is the limit: ask again when the start comes within the horizon.
  local expected_start = earliest_start(lane) + redis.call('ZRANK', lane.queue, name) * lane.interval
  return {'wait', math.min(POLL_INTERVAL, math.max(1000, expected_start - horizon(free_permits))), now}
end

local function release(name, lateness)
  redis.call('ZREM', leases, name)
  redis.call('DEL', handover_list(name))
  for _, lane in ipairs(lanes) do
    remove_waiter(name, lane.queue)
    local reached_by = redis.call('ZSCORE', lane.log, name)
    if reached_by and lateness < 0 then
      redis.call('ZREM', lane.log, name)
    elseif reached_by then
      -- The response is there, so that the service has seen the request by now at the latest.
      redis.call('ZADD', lane.log, math.min(now, tonumber(reached_by) + lateness), name)
    end
  end
  grant_waiting(nil)
end

if operation == 'acquire' then
  return acquire(ARGV[6], ARGV[7])
elseif operation == 'release' then
  release(ARGV[6], tonumber(ARGV[7]))
elseif operation == 'renew' then
  for index = 6, #ARGV do
    redis.call('ZADD', leases, now + lease_duration, ARGV[index])
  end
elseif operation == 'pause' then
  redis.call('HSET', state, 'open', math.max(opens_at, now + tonumber(ARGV[6])))
end
return {}
