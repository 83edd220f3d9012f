local M = {}
local depth_max = 8

--- Makes a node.
function M.new(value)
  return setmetatable({ value = value }, { __index = M })
end

function M:insert(value)
  if value < self.value then
    self.left = self.left and self.left:insert(value) or M.new(value)
  end
  return self
end

M.walk = function(node, visit)
  if not node then return end
  visit(node.value)
end

return M
