package publisher

import "encoding/binary"

// partitionOf returns the partition of a key as Kafka's Java producer chooses it: murmur2 over the whole key
// on the wire, the registry's prefix included, without its sign. A record without a key goes to partition 0:
// unlike a random one it keeps the order of its table.
func partitionOf(key []byte, partitions int32) int32 {
	if key == nil {
		return 0
	}
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is Kafka's variant of MurmurHash2, of org.apache.kafka.common.utils.Utils.
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		k ^= k >> r
		h = h*m ^ k*m
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
