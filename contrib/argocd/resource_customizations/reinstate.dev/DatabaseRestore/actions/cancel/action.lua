-- Stops the run. It cannot be taken back.
if obj.status == nil or obj.status.completionTime == nil then
  obj.spec.cancel = true
end
return obj
