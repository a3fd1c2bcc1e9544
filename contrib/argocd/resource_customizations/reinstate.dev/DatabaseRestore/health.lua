-- Health of a DatabaseRestore of reinstate.dev/v1alpha1.
--
-- It agrees with kstatus but for one case: a restore that waits for a person is Stalled=True, which
-- kstatus calls Failed. Here it is Suspended while a person has only to decide, so that a pipeline
-- that waits for health goes on waiting.
local hs = { status = "Progressing", message = "Waiting for the operator" }
local status = obj.status
if status == nil or (status.observedGeneration or -1) < 0 then
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local function told(name)
  local condition = conditions[name]
  if condition ~= nil and condition.message ~= nil and condition.message ~= "" then
    return condition.message
  end
  return nil
end

-- An end never changes, so the generation does not matter any more.
if holds("Complete") then
  return { status = "Healthy", message = told("Complete") or "Restored" }
end
if holds("Failed") then
  return { status = "Degraded", message = told("Failed") or "Failed" }
end

if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the operator to see the change"
  return hs
end

local phase = status.phase
if phase == "AwaitingConfirmation" or phase == "Holding" or phase == "Suspended" then
  return { status = "Suspended", message = told("Ready") or phase }
end
if holds("Stalled") then
  return { status = "Degraded", message = told("Stalled") or "Stalled" }
end

hs.message = told("Ready") or phase or hs.message
if status.progress ~= nil and status.progress.message ~= nil then
  hs.message = phase .. ": " .. status.progress.message
end
return hs
