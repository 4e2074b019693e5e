import com.robothy.s3.rest.LocalS3;

/** Starts local-s3, which ships no main class, in memory on the port of its argument. */
public final class LocalS3Launcher {
  public static void main(String[] args) {
    LocalS3.builder().port(Integer.parseInt(args[0])).build().start();
  }
}
