-- confirm: while a person is asked. cancel: while there is something to stop.
local actions = {}
local status = obj.status or {}

local ended = status.completionTime ~= nil
local asked = status.phase == "AwaitingConfirmation" and status.plan ~= nil and status.plan.token ~= nil

if asked and not ended then
  actions["confirm"] = {
    ["displayName"] = "Replace the shown data",
    ["iconClass"] = "fa fa-fw fa-check",
  }
end
if not ended and not obj.spec.cancel then
  actions["cancel"] = { ["iconClass"] = "fa fa-fw fa-stop" }
end
return actions
