-- The admission of a limiter that many processes share. All times and durations are microseconds, and all times are
-- those of this server's clock. A lease is a permit, known by its name; so is the waiter that asks for it. A name is
-- that of its member, which is a process with a limiter, a colon and a number.
--
-- KEYS  1     state    hash. open: nothing starts before this time; cause: why; slot:KIND: the next evenly spaced start
--                      of a lane; served: the ticket that was served last; server, clock: this server and its clock at
--                      the last run; settings: those of all members; processes: how many they expect; peak: how many
--                      were alive at once; index:MEMBER and lead:MEMBER; limit, last_max, rounds, plateau: the adaptive limit; reserve, reserve_until
--       2     leases   sorted set: leases by the time at which they expire
--       3     seen     sorted set: waiters by the time at which they count as dead
--       4     members  sorted set: members by the time of their last command
--       5, 6  queue and log of the reads; 7, 8 those of the writes
--             queue    sorted set: waiters by ticket
--             log      sorted set: leases that have started, by the latest time at which the service has seen the request
--
-- ARGV  1 operation, 2 max_concurrency, 3 reads and 4 writes per second (2, 3, 4: 0 for no limit; 2: -1 for one that
--       adapts), 5 duration of a lease, 6 number of processes, 7 member, 8 and 9 its leads: how far ahead a start must be
--       scheduled, so that the member hears of it in time, in the reply and otherwise; 9 is -1 for a member that asks so
--       often that it need not be notified; then the arguments:
--       acquire READS NAME... NAME...  ask for leases, or ask again: so many reads, then the writes. Returns {clock,
--                                      index of the member, number of processes, concurrency limit, 1 on a node of a
--                                      cluster or else 0, status, value, and for each granted lease its name, its
--                                      start, and the number in flight with it}.
--                                      The status of the others is
--                                      listen  wait for an item in the list state:MEMBER for the duration `value`, or
--                                              ask again
--                                      wait    ask again after the duration `value`; the rate is the limit
--                                      new, pause, failover, clock: as wait; nothing starts, for this reason
--       release NAME SEEN OUTCOME NUMBER  return a lease. The service has seen its request by SEEN after its scheduled
--                                      start; less than 0: it has not started. OUTCOME: accepted, refused, or empty
--       renew NAME...                  let leases expire later, and say that the member is alive; returns as acquire
--       probe                          find out whether this server can be used; returns as acquire, and is no sign
--                                      of life: the member uses its part of the quota meanwhile
--       pause DURATION                 start nothing for that long
--       leave NAME...                  return the leases and requests of a member that ends
--       In all of them the reply is {"conflict", settings} where other members have other settings.

local state, leases, seen, members = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local operation, max_concurrency, lease_duration = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local processes, member, lead = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local handover_lead = ARGV[9]
local FIRST_ARGUMENT = 10

local SECOND = 1000000
-- Starts are this much farther apart than the rate asks for, and windows this much longer than a second: the service's
-- clock may run a little faster.
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
-- A member that was silent for the first may have lost this server and use its part of the quota on its own, no earlier
-- than a second later. It counts as dead after the second.
local MISSING_AFTER, DEAD_AFTER = 2000000, 300000000
-- What a member uses on its own, as a fraction of its part.
local PART_USED = 0.9
-- Seconds by which such a start may be late; the value is that of fallback.py.
local MAX_LATE = 0.05
-- A clock that goes back by more than this has been set.
local CLOCK_TOLERANCE = 500000
-- The adaptive limit; the names and values are those of roomrec_async/_adaptive.py.
local INITIAL_LIMIT, MAX_LIMIT, BETA, BETA_FAST, CUBIC_C, UTILIZATION = 8, 500, 0.95, 0.8, 0.005, 0.9

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]

local function get(field)
  return redis.call('HGET', state, field)
end

local function get_number(field, default)
  return tonumber(get(field) or default)
end

local function set(field, value)
  redis.call('HSET', state, field, value)
end

-- Numbers are stored with all their digits; Lua's own conversion keeps 14.
local function set_number(field, value)
  set(field, string.format('%.17g', value))
end

-- Before anything else, a write: so a server that cannot write refuses every operation, that of the probe included.
local last_clock = get_number('clock', now)
set('clock', string.format('%.0f', now))

local opens_at = get_number('open', 0)
local cause = get('cause') or 'new'

local function close_until(time, new_cause)
  if time > opens_at then
    opens_at, cause = time, new_cause
    set('open', string.format('%.0f', time))
    set('cause', new_cause)
  end
end

-- A limiter that is new, or whose server is another one than before, waits for the duration of a lease: by then, all
-- holders have renewed their leases, and all members have left the server before. A user who may not run INFO does
-- without the second.
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local is_cluster = type(info) == 'string' and string.find(info, '_mode:cluster') and 1 or 0
local last_server = get('server')
if last_server ~= server then
  set('server', server)
  if not last_server then
    close_until(now + lease_duration, 'new')
  elseif last_server ~= '' and server ~= '' then
    close_until(now + lease_duration, 'failover')
  end
end

-- Times that lie in the future of a clock that was set back would hold everything up until it is there again.
if now < last_clock - CLOCK_TOLERANCE then
  redis.call('HDEL', state, 'slot:read', 'slot:write', 'reserve_until')
  redis.call('DEL', seen, KEYS[5], KEYS[6], KEYS[7], KEYS[8])
  for _, key in ipairs({leases, members}) do
    for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZADD', key, key == leases and now + lease_duration or now, name)
    end
  end
  -- A pause lasts as long as it was asked for, by either clock.
  local remaining, former_cause = opens_at - last_clock, cause
  opens_at = 0
  close_until(now + lease_duration, 'clock')
  close_until(now + remaining, former_cause)
end

local function member_of(name)
  return string.match(name, '^[^:]*')
end

local function count_alive()
  return redis.call('ZCOUNT', members, now - MISSING_AFTER, '+inf')
end

local function forget_member(id)
  if redis.call('ZREM', members, id) == 1 then
    set('peak', math.max(0, get_number('peak', 0) - 1))
  end
  redis.call('HDEL', state, 'index:' .. id, 'lead:' .. id)
end

-- All members have the same limits; those of a member that is alone hold. A member whose limit adapts takes a fixed one
-- of the others.
local function settings_in_conflict()
  local settings = table.concat({ARGV[2], ARGV[3], ARGV[4]}, ' ')
  local stored = get('settings')
  if stored == settings then
    return nil
  end
  local others = count_alive() - (redis.call('ZSCORE', members, member) and 1 or 0)
  if stored and others > 0 then
    local concurrency, rates = string.match(stored, '^(%S+) (.*)$')
    if rates ~= ARGV[3] .. ' ' .. ARGV[4] or (concurrency ~= '-1' and max_concurrency >= 0) then
      return stored
    end
    if concurrency ~= '-1' then
      max_concurrency = tonumber(concurrency)
      return nil
    end
  end
  set('settings', settings)
end

local alive

-- The index of a member is the least that no other one has: without this server, it tells whose turn it is.
local function register()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', now - DEAD_AFTER)) do
    forget_member(id)
  end
  if redis.call('ZCARD', members) == 0 then
    set('processes', processes)
  end
  redis.call('ZADD', members, now, member)
  alive = count_alive()
  if alive > get_number('peak', 0) then
    set('peak', alive)
  end
  if get('lead:' .. member) ~= handover_lead then
    set('lead:' .. member, handover_lead)
  end
  if processes > get_number('processes', 0) then
    set('processes', processes)
  end

  if not get('index:' .. member) then
    local taken, index = {}, 0
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', members, now - MISSING_AFTER, '+inf')) do
      taken[get_number('index:' .. id, -1)] = true
    end
    while taken[index] do
      index = index + 1
    end
    set('index:' .. member, index)
  end
end

-- Return how many processes share the quota: the parts of members that are silent count, which know no other number.
local function count_processes()
  alive = alive or count_alive()
  return math.max(get_number('processes', processes), get_number('peak', 0), alive)
end

-- Return the number of members that may be using their parts of the quota on their own. One that is back counts for
-- another second, because of what it has started before. Where all the processes are here, the silent ones are dead.
local function count_missing()
  local count = math.min(redis.call('ZCARD', members) - count_alive(), count_processes() - alive)
  local reserve = now < get_number('reserve_until', 0) and get_number('reserve', 0) or 0
  if count > 0 and count >= reserve then
    set('reserve', count)
    set('reserve_until', string.format('%.0f', now + 1.1 * SECOND))
  end
  return math.max(count, reserve)
end

-- Return how many requests a member may start on its own within a second. They are evenly spaced, but one may be late
-- and the last in time.
local function starts_alone(rate)
  local per_second = PART_USED * rate / count_processes()
  return math.floor((1 + math.min(0.5 / per_second, MAX_LATE)) * per_second) + 1
end

local function new_lane(kind, queue, log, rate, missing)
  local lane = {kind = kind, queue = queue, log = log, slot = 'slot:' .. kind, paced = rate > 0, interval = 0}
  if lane.paced then
    local starts = math.ceil(rate)
    lane.window_starts = missing > 0 and math.max(1, starts - missing * starts_alone(rate)) or starts
    lane.interval = math.ceil(MARGIN * SECOND * starts / rate / lane.window_starts)
    lane.window = math.ceil(MARGIN * SECOND * starts / rate)
  end
  return lane
end

local lanes
local function make_lanes()
  local missing = count_missing()
  lanes = {
    new_lane('read', KEYS[5], KEYS[6], tonumber(ARGV[3]), missing),
    new_lane('write', KEYS[7], KEYS[8], tonumber(ARGV[4]), missing),
  }
end

local function adaptive_limit()
  return get_number('limit', INITIAL_LIMIT)
end

-- Return the number of permits; 0 for no limit.
local function permits()
  return max_concurrency < 0 and math.floor(adaptive_limit()) or max_concurrency
end

local function raise_limit(in_flight)
  local limit = adaptive_limit()
  if in_flight < UTILIZATION * math.floor(limit) then
    return
  end
  local last_max, rounds = tonumber(get('last_max') or nil), get_number('rounds', 0) + 1 / limit
  local target = limit + 1
  if last_max then
    target = last_max + CUBIC_C * (rounds - get_number('plateau', 0)) ^ 3
  end
  set_number('rounds', rounds)
  set_number('limit', math.min(MAX_LIMIT, math.max(limit, target)))
end

local function lower_limit(number)
  if number > adaptive_limit() then
    return
  end
  local beta = BETA
  if get('last_max') and get_number('rounds', 0) < 1 then
    beta = BETA_FAST
  end
  local last_max = math.max(1, number - 1)
  local limit = math.max(1, last_max * beta)
  set_number('last_max', last_max)
  set_number('limit', limit)
  set_number('plateau', ((last_max - limit) / CUBIC_C) ^ (1 / 3))
  set_number('rounds', 0)
end

local function remove_waiter(name, queue)
  redis.call('ZREM', queue, name)
  redis.call('ZREM', seen, name)
end

local function count_in_flight()
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  return redis.call('ZCARD', leases)
end

local function count_free_permits()
  local limit = permits()
  return limit == 0 and math.huge or limit - count_in_flight()
end

-- A member that asks gets its starts in the reply. Any other is notified, and asks.
local function is_asking(id)
  return id == member and operation == 'acquire'
end

-- What was read of members and waiters: for each lease that is granted, the waiters are gone through.
local leads, alive_waiters = {}, {}

local function lead_of(id)
  leads[id] = leads[id] or (is_asking(id) and lead or get_number('lead:' .. id, 0))
  return leads[id]
end

local function is_alive(name, queue)
  if alive_waiters[name] == nil then
    local dead_at = redis.call('ZSCORE', seen, name)
    alive_waiters[name] = dead_at and tonumber(dead_at) > now or false
    if not alive_waiters[name] then
      remove_waiter(name, queue)
    end
  end
  return alive_waiters[name]
end

-- Return the first waiter that can be granted a lease now, and its ticket. Those who are not notified wait for their members
-- to ask, which they do soon; until then, only members that ask overtake them.
local function first_waiter(lane)
  local waiters, overtakes = lane.waiters, false
  if not waiters then
    waiters = redis.call('ZRANGE', lane.queue, 0, -1, 'WITHSCORES')
    lane.waiters = waiters
  end
  for index = 1, #waiters, 2 do
    local name = waiters[index]
    if name and is_alive(name, lane.queue) then
      local id = member_of(name)
      local is_notified = lead_of(id) >= 0
      if is_asking(id) or (is_notified and not overtakes) then
        return name, tonumber(waiters[index + 1]), index
      end
      overtakes = overtakes or not is_notified
    end
  end
end

-- Starts are evenly spaced. Where missed ones are made up for, the log keeps the rate: the n-th last start must be a
-- full window ago.
local function earliest_start(lane, start_lead)
  local start = math.max(now + start_lead, opens_at)
  if lane.paced then
    start = math.max(start, get_number(lane.slot, 0))
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
    set(lane.slot, string.format('%.0f', math.max(get_number(lane.slot, 0), start - CATCH_UP) + lane.interval))
    redis.call('ZREMRANGEBYSCORE', lane.log, '-inf', now - lane.window)
    redis.call('ZADD', lane.log, start + TRANSIT, name)
  end
end

-- Return the latest time for which a start may be scheduled now.
local function horizon(free_permits, start_lead)
  local limit = permits()
  local is_far = limit == 0 or free_permits * 4 >= limit
  return now + math.max(is_far and FAR_HORIZON or NEAR_HORIZON, start_lead + NEAR_HORIZON)
end

local function wake(id)
  local list = state .. ':' .. id
  if redis.call('LLEN', list) == 0 then
    redis.call('RPUSH', list, '')
    redis.call('PEXPIRE', list, math.ceil(lease_duration / 1000))
  end
end

-- Return the first waiter in the order of tickets that may start, its lane, ticket and start; nil if there is none.
local function next_waiter(free_permits)
  local chosen
  for _, lane in ipairs(lanes) do
    local name, ticket, index = first_waiter(lane)
    if name and (not chosen or ticket < chosen.ticket) then
      local start_lead = lead_of(member_of(name))
      local start = earliest_start(lane, start_lead)
      if start <= horizon(free_permits, start_lead) then
        chosen = {name = name, lane = lane, ticket = ticket, start = start, index = index}
      end
    end
  end
  return chosen
end

-- Grant leases to all waiters that may start. Members take turns.
local function grant_waiting()
  local free_permits = count_free_permits()
  while free_permits > 0 do
    local chosen = next_waiter(free_permits)
    if not chosen then
      return
    end
    grant(chosen.name, chosen.lane, chosen.start)
    chosen.lane.waiters[chosen.index] = false
    set('served', math.max(get_number('served', 0), chosen.ticket))
    local id = member_of(chosen.name)
    if not is_asking(id) then
      wake(id)
    end
    free_permits = free_permits - 1
  end
end

-- The waiters of a member have tickets one after the other, from that which is served on. So members take turns,
-- however many of their waiters stand here.
local function enqueue(lane, first, last)
  local ticket = get_number('served', 0)
  for index = first, last do
    local name = ARGV[index]
    if not redis.call('ZSCORE', leases, name) then
      local has = redis.call('ZSCORE', lane.queue, name)
      ticket = has and math.max(ticket, tonumber(has)) or ticket + 1
      if not has then
        redis.call('ZADD', lane.queue, ticket, name)
      end
      redis.call('ZADD', seen, now + WAITER_TIMEOUT, name)
    end
  end
end

local function describe()
  return {now, get_number('index:' .. member, 0), count_processes(), permits(), is_cluster}
end

-- Return why the first waiter of a lane that was not granted waits, and for how long.
local function waiting_time(lane, name)
  if opens_at > now then
    return cause, math.min(POLL_INTERVAL, opens_at - now)
  end
  local free_permits = count_free_permits()
  if free_permits <= 0 then
    return 'listen', POLL_INTERVAL
  end
  -- The rate is the limit: ask again when the start comes within the horizon.
  local expected = earliest_start(lane, lead) + redis.call('ZRANK', lane.queue, name) * lane.interval
  return 'wait', math.min(POLL_INTERVAL, math.max(1000, expected - horizon(free_permits, lead)))
end

local function acquire()
  local reads = tonumber(ARGV[FIRST_ARGUMENT])
  local ranges = {
    {FIRST_ARGUMENT + 1, FIRST_ARGUMENT + reads},
    {FIRST_ARGUMENT + 1 + reads, #ARGV},
  }
  redis.call('DEL', state .. ':' .. member)
  for number, lane in ipairs(lanes) do
    enqueue(lane, ranges[number][1], ranges[number][2])
  end
  grant_waiting()

  local granted, status, value = {}, 'wait', POLL_INTERVAL
  local in_flight = count_in_flight()
  for number, lane in ipairs(lanes) do
    local has_first = false
    for index = ranges[number][1], ranges[number][2] do
      local name = ARGV[index]
      if redis.call('ZSCORE', leases, name) then
        -- Granted now, or since the member asked last, or the reply was lost and the command is sent again.
        local reached_by = redis.call('ZSCORE', lane.log, name)
        table.insert(granted, name)
        table.insert(granted, reached_by and math.ceil(tonumber(reached_by)) - TRANSIT or now + lead)
        table.insert(granted, in_flight)
      elseif not has_first then
        has_first = true
        local lane_status, lane_value = waiting_time(lane, name)
        if lane_value < value or (lane_value == value and lane_status ~= 'wait') then
          status, value = lane_status, lane_value
        end
      end
    end
  end

  local reply = describe()
  table.insert(reply, status)
  table.insert(reply, value)
  for _, each in ipairs(granted) do
    table.insert(reply, each)
  end
  return reply
end

local function release(name, seen_after, outcome, number)
  for _, lane in ipairs(lanes) do
    remove_waiter(name, lane.queue)
  end
  local in_flight = max_concurrency < 0 and count_in_flight()
  -- A command whose reply was lost is sent again, and must not count again.
  if redis.call('ZREM', leases, name) == 0 then
    return
  end
  if outcome == 'accepted' and in_flight then
    raise_limit(in_flight)
  elseif outcome == 'refused' and in_flight then
    lower_limit(number)
  end
  for _, lane in ipairs(lanes) do
    local reached_by = redis.call('ZSCORE', lane.log, name)
    if reached_by and seen_after < 0 then
      redis.call('ZREM', lane.log, name)
    elseif reached_by then
      redis.call('ZADD', lane.log, tonumber(reached_by) - TRANSIT + seen_after, name)
    end
  end
end

local conflict = settings_in_conflict()
if conflict then
  return {'conflict', conflict}
end

if operation == 'leave' then
  make_lanes()
  for index = FIRST_ARGUMENT, #ARGV do
    release(ARGV[index], -1, '', 0)
  end
  forget_member(member)
  redis.call('DEL', state .. ':' .. member)
  grant_waiting()
  return {}
end

if operation == 'probe' then
  return describe()
end

register()
make_lanes()
if operation == 'acquire' then
  return acquire()
elseif operation == 'release' then
  for index = FIRST_ARGUMENT, #ARGV, 4 do
    release(ARGV[index], tonumber(ARGV[index + 1]), ARGV[index + 2], tonumber(ARGV[index + 3]))
  end
  grant_waiting()
elseif operation == 'renew' then
  for index = FIRST_ARGUMENT, #ARGV do
    redis.call('ZADD', leases, now + lease_duration, ARGV[index])
  end
elseif operation == 'pause' then
  close_until(now + tonumber(ARGV[FIRST_ARGUMENT]), 'pause')
end
return describe()
