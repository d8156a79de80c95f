// Products of a block's shares of the experts (expert_shares.hip). The vectors of a tile lie in shared memory. Codes and scales
// come there too, a group at a time for each squad, in stages: those of the next steps are under way, across shares as well,
// while a step is computed. The last team that has read a stage asks for what comes into it. The teams' sums meet in shared
// memory every few steps.

namespace ROUTER_NAMESPACE {

constexpr int kStages = 2;
constexpr int kMostProducts = KERNEL_VECTORS / kProductVectors;
static_assert(kMostProducts <= 2, "there is a form for each number of products");

// Beside the dynamic memory.
struct StageMemory {
  BulkBarrier barriers[kSquads][kStages];
  // Teams that have read a stage, of all its steps.
  u32 readers[kSquads][kStages];
};

// A step of a block's shares, in their order.
struct StepCursor {
  int share;
  int step;

  ENGINE_METHOD void begin(const ShareMemory& memory) { *this = {0, memory.shares[0].firstStep}; }
  ENGINE_METHOD void advance(const ShareMemory& memory) {
    if (++step < memory.shares[share].endStep) return;
    share++;
    step = share < memory.count ? memory.shares[share].firstStep : 0;
  }
};

// OUTPUTS rows of each expert, of COLUMNS columns.
template <int COLUMNS, int OUTPUTS>
struct ExpertProducts {
  using Codes = Mxfp4Codes<COLUMNS>;
  static constexpr int kGroups = OUTPUTS / kGroupRows;
  static constexpr int kSteps = (kGroups + kSquads - 1) / kSquads;
  static constexpr int kVectorSize = kVectorBytes<COLUMNS>;
  static constexpr int kCodeBytes = kGroupRows * COLUMNS / 2;
  static constexpr int kScaleBytes = kGroupRows * COLUMNS / kBlockColumns;
  static constexpr int kStageBytes = kCodeBytes + kScaleBytes;
  static_assert(OUTPUTS % kGroupRows == 0 && kScaleBytes % 16 == 0, "groups are whole, and so are copies of their scales");
  using Shares = BlockShares<kSteps>;

  // Of the steps between two barriers.
  static constexpr int kSumBytes = KERNEL_STEPS * kSquads * kGroupTeams * kGroupRows * kProductVectors * 4;
  static constexpr int kStagesBytes = kSquads * kStages * kStageBytes;
  static_assert(kStagesBytes + 2 * kSumBytes + KERNEL_VECTORS * kVectorSize <= KERNEL_SHARED_BYTES,
                "a block has not that much memory");
  ROUTER_INLINE u8* stage_memory(int squad, u32 stage) {
    return dynamic_memory() + (static_cast<u32>(squad * kStages) + stage) * kStageBytes;
  }
  ROUTER_INLINE float* sum_memory(int half) {
    return reinterpret_cast<float*>(dynamic_memory() + kStagesBytes + half * kSumBytes);
  }
  ROUTER_INLINE u8* vector_memory() { return dynamic_memory() + kStagesBytes + 2 * kSumBytes; }

  template <int PRODUCTS>
  struct Sums {
    static constexpr int kStepsAtOnce = KERNEL_STEPS / PRODUCTS;
    static constexpr int kVectors = PRODUCTS * kProductVectors;
    static constexpr int kGroupSums = kGroupTeams * kGroupRows * kVectors;
  };

  const u8* codes;
  const u8* scales;
  ShareMemory* memory;
  StageMemory* stages;
  // The step that the next free stage is for.
  StepCursor ahead;
  // Steps that were computed: which stage has the next one, and in which phase.
  u32 computed;
  Codes product;

  // Once, by the whole block.
  ENGINE_METHOD void begin() {
    const int thread = static_cast<int>(thread_index());
    computed = 0;
    if (thread < kSquads * kStages) {
      stages->readers[thread / kStages][thread % kStages] = 0;
      begin_phases(&stages->barriers[thread / kStages][thread % kStages]);
    }
    block_barrier();
  }

  // Asks for the first steps of the shares that were found. Whole blocks call, when all steps before are computed.
  ENGINE_METHOD void ask() {
    ahead.begin(*memory);
#pragma unroll
    for (int i = 0; i < kStages; i++) {
      if (static_cast<int>(thread_index()) % (kGroupTeams * kTeam) == 0) ask_for_ahead((computed + i) % kStages);
      if (ahead.share < memory->count) ahead.advance(*memory);
    }
  }

  // One thread of a squad. Where there are not as many groups, the last one stands in, and nobody reads what comes of it.
  ENGINE_METHOD void ask_for_ahead(u32 stage) const {
    if (ahead.share >= memory->count) return;
    const int squad = squad_of_block();
    const int group = smaller(ahead.step * kSquads + squad, kGroups - 1);
    const u64 at = static_cast<u64>(memory->shares[ahead.share].expert) * kGroups + group;
    BulkBarrier* barrier = &stages->barriers[squad][stage];
    u8* to = stage_memory(squad, stage);
    expect_bytes(barrier, kStageBytes);
    copy_bulk(to, codes + at * kCodeBytes, kCodeBytes, barrier);
    copy_bulk(to + kCodeBytes, scales + at * kScaleBytes, kScaleBytes, barrier);
  }

  // Computes the shares. `vector_of(slot)` says where the vector of a slot of the plan's order was written; `output` takes the
  // sums: `take(share, first, end)` before those of some steps are formed, then `leave(first, sums)`.
  template <class VectorOf, class Output>
  ENGINE_METHOD void run(VectorOf vector_of, Output& output) {
    for (int index = 0; index < memory->count; index++) {
      const ExpertShare share = memory->shares[index];
      bring_vectors(share, vector_of);
      copies_are_there();
      if (share.count <= kProductVectors) {
        compute<1>(share, output);
      } else {
        compute<kMostProducts>(share, output);
      }
    }
  }

  // The row of a group that is a lane's row g. Rows are half as long as columns are many: of those that lanes read together,
  // neighbours would share banks.
  ROUTER_INLINE int row_of_lane() {
    const int g = lane_of_team() / kBlocksAtOnce;
    return (g & 4) | (g & 1) << 1 | (g & 2) >> 1;
  }

  template <int PRODUCTS, class Output>
  ENGINE_METHOD void compute(const ExpertShare& share, Output& output) {
    using Own = Sums<PRODUCTS>;
    const int column = lane_of_team() / kBlocksAtOnce;
    const u8* own[Codes::kTurns];
    u32 places[Codes::kTurns];
#pragma unroll
    for (int turn = 0; turn < Codes::kTurns; turn++) {
      own[turn] = vector_memory() + column / kTerms * kVectorSize +
                  word_place<COLUMNS>(Codes::nearest_block(turn), 0, column % kTerms);
      places[turn] = Codes::place_of(row_of_lane(), turn);
    }
    const auto right_of = [&](int of, int turn, int word) {
      const int place = of * kProductVectors * kVectorSize + word * Codes::kFours * kPieceBytes;
      return *reinterpret_cast<const Words4*>(own[turn] + place);
    };
    int half = 0;
#pragma unroll 1
    for (int first = share.firstStep; first < share.endStep; first += Own::kStepsAtOnce) {
      const int end = smaller(first + Own::kStepsAtOnce, share.endStep);
      output.template take<Own>(share, first, end);
      float* groupSums = sum_memory(half) + squad_of_block() * Own::kGroupSums;
#pragma unroll 1
      for (int step = first; step < end; step++) {
        read_stage(places);
        float sums[PRODUCTS][2][4] = {};
        product.add_products(sums, right_of, [](int) {});
        product.template leave<Own::kVectors>(sums, groupSums, row_of_lane());
        groupSums += kSquads * Own::kGroupSums;
      }
      block_barrier();
      output.template leave<Own>(first, sum_memory(half));
      half ^= 1;
    }
  }

  // Takes the next step's codes and scales to registers.
  ENGINE_METHOD void read_stage(const u32 (&places)[Codes::kTurns]) {
    const int squad = squad_of_block();
    const u32 stage = computed % kStages;
    wait_for_phase(&stages->barriers[squad][stage], computed / kStages % 2);
    const u8* from = stage_memory(squad, stage);
#pragma unroll
    for (int turn = 0; turn < Codes::kTurns; turn++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const u32 place = places[turn] + half * Codes::kHalfBlocks;
        product.codes[turn][half] = *reinterpret_cast<const Words4*>(from + place * kBlockBytes);
        product.scales[turn][half] = from[kCodeBytes + place];
      }
    }
    computed++;
    wave_has_read();
    if (lane_of_team() == 0) {
      const u32 readers = count_in_shared(&stages->readers[squad][stage]);
      if (readers % kGroupTeams == kGroupTeams - 1) ask_for_ahead(stage);
    }
    if (ahead.share < memory->count) ahead.advance(*memory);
  }

  // Nobody reads those before any more: the steps of a share end with a barrier.
  template <class VectorOf>
  ENGINE_METHOD void bring_vectors(const ExpertShare& share, VectorOf vector_of) {
    constexpr int kSquadThreads = kThreads / kSquads;
    for (int slot = squad_of_block(); slot < share.count; slot += kSquads) {
      const u8* vector = vector_of(share.begin + slot);
      for (int at = static_cast<int>(thread_index()) % kSquadThreads * 16; at < kVectorSize; at += kSquadThreads * 16) {
        copy_to_shared(reinterpret_cast<Words4*>(vector_memory() + slot * kVectorSize + at), vector + at);
      }
    }
  }
};

}  // namespace ROUTER_NAMESPACE
