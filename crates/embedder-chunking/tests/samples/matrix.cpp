#include <array>
#include <stdexcept>
#include <vector>

namespace algebra::dense {

template <typename T>
concept Number = requires(T a) { a + a; a * a; };

/// A matrix of fixed width.
template <Number T, std::size_t Width>
class Matrix final : public Shape {
 public:
  using Row = std::array<T, Width>;

  Matrix() = default;
  explicit Matrix(std::size_t height) : rows_(height) {}
  ~Matrix() override;

  T& operator()(std::size_t row, std::size_t column) { return rows_.at(row)[column]; }
  bool operator==(const Matrix& other) const = default;
  explicit operator bool() const { return !rows_.empty(); }

  [[nodiscard]] Matrix transposed() const;
  static constexpr std::size_t kWidth = Width;

 private:
  std::vector<Row> rows_;
  struct Cursor { std::size_t row{0}; void next(); };
};

template <Number T, std::size_t Width>
Matrix<T, Width>::~Matrix() = default;

// Turns rows into columns.
template <Number T, std::size_t Width>
Matrix<T, Width> Matrix<T, Width>::transposed() const {
  Matrix result(Width);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (std::size_t j = 0; j < Width; ++j) result(j, i) = rows_[i][j];
  }
  return result;
}

enum class Order : unsigned char { kRow, kColumn };

namespace {
constexpr double kEpsilon = 1e-9;
auto close = [](double a, double b) { return a - b < kEpsilon; };
}  // namespace

extern "C" int algebra_version(void);

}  // namespace algebra::dense

#define ALGEBRA_CHECK(x) \
  do {                   \
    if (!(x)) throw std::logic_error(R"(failed: )" #x); \
  } while (0)
