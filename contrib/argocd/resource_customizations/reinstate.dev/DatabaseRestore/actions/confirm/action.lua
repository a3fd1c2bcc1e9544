-- Confirms the plan that the status shows, and nothing else: the names of what would be replaced, and
-- the plan's token. Has anything changed by the time that the operator looks, it asks again.
local status = obj.status or {}
if status.completionTime ~= nil or status.phase ~= "AwaitingConfirmation" then
  return obj
end
if status.plan == nil or status.plan.token == nil then
  return obj
end

local overwrite = obj.spec.overwrite or {}
local names = overwrite.confirm or {}
local known = {}
for _, name in ipairs(names) do
  known[name] = true
end
for _, database in ipairs(status.plan.databases or {}) do
  if database.holds ~= nil and not known[database.to] then
    table.insert(names, database.to)
    known[database.to] = true
  end
end
if #names > 0 then
  overwrite.confirm = names
end
overwrite.confirmedPlan = status.plan.token
for _, condition in ipairs(status.conditions or {}) do
  -- The confirmation that is written now is a new decision; a past date would refuse it.
  if condition.type == "Ready" and condition.reason == "ConfirmationExpired" then
    overwrite.confirmUntil = nil
  end
end
obj.spec.overwrite = overwrite
return obj
