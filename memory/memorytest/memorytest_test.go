
func TestFollow(t *testing.T) {
	memorytest.Run(t, func(*testing.T) memory.Store { return memorytest.Follow(&memory.InMemory{}) })
}
