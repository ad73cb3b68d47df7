//go:build !linux

package decoder

import "time"

// setLowWater does nothing: reads are smaller.
func (s *socket) setLowWater(int) {}

// setUserTimeout does nothing: the kernel's own patience holds.
func (s *socket) setUserTimeout(time.Duration) {}

// answered knows nothing: only bytes that were read count as an answer.
func (s *socket) answered(time.Time) (time.Time, bool) { return time.Time{}, false }
