import java.net.HttpURLConnection;
import java.net.URL;

/** java Fetch URL */
public class Fetch {
    public static void main(String[] arguments) throws Exception {
        var connection = (HttpURLConnection) new URL(arguments[0]).openConnection();
        System.out.println(connection.getResponseCode());
    }
}
